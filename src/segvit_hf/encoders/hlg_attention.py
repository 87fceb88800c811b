"""HLG's attention: inside windows, then of all tokens over one token per window; and the plain one of its last stage.

Follows HLGLayers of mmseg/models/backbones/hlg.py of https://github.com/fudan-zvg/SETR.
"""

import torch
from torch import nn
from transformers import PreTrainedConfig

from segvit_hf._compat import TransformersKwargs, Unpack
from segvit_hf.encoders.configuration_hlg import HlgEncoderConfig
from segvit_hf.layers.attention import Attention
from segvit_hf.layers.dynamic_position_bias import DynamicPositionBias
from segvit_hf.layers.layer_norm import layer_norm_map
from segvit_hf.layers.resize import Grid, pad_to_multiple
from segvit_hf.layers.spatial_smoothing import SpatialSmoothing
from segvit_hf.layers.windows import join_windows, split_windows


class ProjectedAttention(Attention):
    """Attention between given queries, keys and values, with a bias, and a projection of the output.

    Args:
        config: Names the attention implementation.
        hidden_size: Width of the tokens.
        num_heads: Number of heads.
        dropout: Dropout probability of the attention probabilities.
        output_dropout: Dropout probability of the output.
    """

    def __init__(
        self,
        config: PreTrainedConfig,
        *,
        hidden_size: int,
        num_heads: int,
        dropout: float = 0.0,
        output_dropout: float = 0.0,
    ) -> None:
        super().__init__(config, num_heads=num_heads, dropout=dropout)
        self.proj = nn.Linear(hidden_size, hidden_size)
        self.output_dropout = nn.Dropout(output_dropout)

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        bias: torch.Tensor,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Attends with a bias.

        Args:
            query: (batch, num_queries, hidden_size).
            key: (batch, num_keys, hidden_size).
            value: (batch, num_keys, hidden_size).
            bias: (num_heads, num_queries, num_keys).
            **kwargs: Passed to `attend`.

        Returns:
            (batch, num_queries, hidden_size) and the attention probabilities or `None`.
        """
        output, probabilities = self.attend(query, key, value, bias.to(query.dtype)[None], **kwargs)
        return self.output_dropout(self.proj(output)), probabilities


class FullAttention(nn.Module):
    """Attention of all tokens among themselves; its output is normalized, its input is not.

    Args:
        config: The encoder's configuration.
        hidden_size: Width of the tokens.
        num_heads: Number of heads.
    """

    def __init__(self, config: HlgEncoderConfig, *, hidden_size: int, num_heads: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (
            nn.Linear(hidden_size, hidden_size, bias=config.qkv_bias) for _ in range(3)
        )
        self.global_bias = DynamicPositionBias(token_size=hidden_size, num_heads=num_heads)
        self.global_attention = _global_attention(config, hidden_size, num_heads)
        self.norm = nn.LayerNorm(hidden_size, eps=config.layer_norm_eps)

    def forward(
        self, feature_map: torch.Tensor, **kwargs: Unpack[TransformersKwargs]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch, hidden_size, rows, columns) -> the same map, and what is to be added to it."""
        grid = (feature_map.shape[-2], feature_map.shape[-1])
        tokens = feature_map.flatten(2).transpose(1, 2)
        output, _ = self.global_attention(
            self.query(tokens),
            self.key(tokens),
            self.value(tokens),
            self.global_bias.between_all(grid),
            **kwargs,
        )
        return feature_map, _as_map(self.norm(output), grid)


class LocalGlobalAttention(nn.Module):
    """Attention inside windows, and of all tokens over the windows' means.

    Padding that fills the last windows takes part, as in the original.

    Args:
        config: The encoder's configuration.
        hidden_size: Width of the tokens.
        num_heads: Number of heads.
        dilated: Whether a window's tokens are spread over the whole map.
    """

    def __init__(self, config: HlgEncoderConfig, *, hidden_size: int, num_heads: int, dilated: bool) -> None:
        super().__init__()
        self.config = config
        self.dilated = dilated
        self.smoothing = SpatialSmoothing(hidden_size)
        self.local_norm, self.local_output_norm, self.window_norm = (
            nn.LayerNorm(hidden_size, eps=config.layer_norm_eps) for _ in range(3)
        )
        self.query, self.key, self.value = (
            nn.Linear(hidden_size, hidden_size, bias=config.qkv_bias) for _ in range(3)
        )
        self.query_convolution = nn.Conv2d(hidden_size, hidden_size, kernel_size=3, padding=1, groups=hidden_size)
        self.local_bias = DynamicPositionBias(token_size=hidden_size, num_heads=num_heads)
        self.local_attention = Attention(config, num_heads=num_heads)
        self.global_bias = DynamicPositionBias(token_size=hidden_size, num_heads=num_heads)
        self.global_attention = _global_attention(config, hidden_size, num_heads)

    def forward(
        self, feature_map: torch.Tensor, **kwargs: Unpack[TransformersKwargs]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(batch, hidden_size, rows, columns) -> the map after local attention, and what is to be added to it."""
        batch_size, _, rows, columns = feature_map.shape
        window = (self.config.window_size, self.config.window_size)
        padded = self.smoothing(pad_to_multiple(feature_map, self.config.window_size))
        grid = (padded.shape[-2], padded.shape[-1])
        tokens = split_windows(padded, window, dilated=self.dilated)
        query, local_output = self._attend_locally(tokens, **kwargs)
        tokens = tokens + local_output
        window_tokens = self.window_norm(tokens.mean(1)).unflatten(0, (batch_size, -1))
        feature_map, query_map, local_map = (
            join_windows(states, grid, window, dilated=self.dilated)[:, :, :rows, :columns].contiguous()
            for states in (tokens, query, local_output)
        )
        query_map = query_map + self.query_convolution(layer_norm_map(self.local_output_norm, local_map))
        bias = self._bias_of_windows((rows, columns), (grid[0] // window[0], grid[1] // window[1]))
        output, _ = self.global_attention(
            query_map.flatten(2).transpose(1, 2), self.key(window_tokens), self.value(window_tokens), bias, **kwargs
        )
        return feature_map, _as_map(output, (rows, columns))

    def _attend_locally(
        self, tokens: torch.Tensor, **kwargs: Unpack[TransformersKwargs]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Queries, which are the keys too, and the output of attention inside windows."""
        normalized = self.local_norm(tokens)
        query, value = self.query(normalized), self.value(normalized)
        bias = self.local_bias.between_all((self.config.window_size, self.config.window_size)).to(query.dtype)
        return query, self.local_attention.attend(query, query, value, bias[None], **kwargs)[0]

    def _bias_of_windows(self, grid: Grid, window_grid: Grid) -> torch.Tensor:
        if self.config.global_position_bias == "leading_tokens":
            return self.global_bias.to_leading_tokens(grid, window_grid[0] * window_grid[1])
        return self.global_bias.to_window_tokens(grid, window_grid)


def _global_attention(config: HlgEncoderConfig, hidden_size: int, num_heads: int) -> ProjectedAttention:
    return ProjectedAttention(
        config,
        hidden_size=hidden_size,
        num_heads=num_heads,
        dropout=config.attention_probs_dropout_prob,
        output_dropout=config.hidden_dropout_prob,
    )


def _as_map(tokens: torch.Tensor, grid: Grid) -> torch.Tensor:
    """(batch, rows * columns, channels) -> (batch, channels, rows, columns)."""
    return tokens.transpose(1, 2).unflatten(2, grid).contiguous()


__all__ = ["FullAttention", "LocalGlobalAttention", "ProjectedAttention"]
