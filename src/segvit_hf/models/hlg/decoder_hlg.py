"""The decoder of SETR-PUP-HLG: maps of all stages fused, local-global attention, one upsampling.

Follows mmseg/models/decode_heads/hlg_up_head.py and hlg_utils.py of https://github.com/fudan-zvg/SETR.
"""

from collections.abc import Sequence

import torch
from torch import nn

from segvit_hf._compat import GradientCheckpointingLayer
from segvit_hf.layers.attention import Attention
from segvit_hf.layers.convolution import ConvNormAct
from segvit_hf.layers.dynamic_position_bias import DynamicPositionBias
from segvit_hf.layers.mlp import Mlp
from segvit_hf.layers.resize import Grid, pad_to_multiple, resize_bilinear
from segvit_hf.layers.spatial_smoothing import SpatialSmoothing
from segvit_hf.layers.windows import join_windows, split_windows
from segvit_hf.models.decoder import LAYER_NORM_EPS, DecodeHead
from segvit_hf.models.hlg.configuration_hlg import HlgConfig

HEAD_SIZE = 32
MLP_RATIO = 4
# Of the finest feature map, which the logits are upsampled by.
FINEST_STRIDE = 4


class SharedAttention(Attention):
    """One attention for windows and for window tokens: the same projections and the same position bias.

    Args:
        config: Names the attention implementation; gives the width.
    """

    def __init__(self, config: HlgConfig) -> None:
        width = config.decoder_hidden_size
        super().__init__(config, num_heads=width // HEAD_SIZE)
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.position_bias = DynamicPositionBias(token_size=width, num_heads=self.num_heads)
        self.window_norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: torch.Tensor, key_tokens: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """Tokens attend to others.

        Args:
            tokens: (batch, num_tokens, width).
            key_tokens: (batch, num_keys, width).
            bias: (num_heads, num_tokens, num_keys).

        Returns:
            (batch, num_tokens, width).
        """
        query = self.query(tokens)
        key, value = self.key_value(key_tokens).chunk(2, dim=-1)
        output, _ = self.attend(query, key, value, bias.to(query.dtype)[None], output_attentions=False)
        return self.proj(output)

    def within(self, tokens: torch.Tensor, grid: Grid) -> torch.Tensor:
        """Attention of the tokens of a grid among themselves."""
        return self(tokens, tokens, self.position_bias.between_all(grid))

    def over_windows(
        self, tokens: torch.Tensor, window_tokens: torch.Tensor, grid: Grid, window_grid: Grid
    ) -> torch.Tensor:
        """Attention of the tokens of a grid over the tokens of its windows."""
        bias = self.position_bias.to_window_tokens(grid, window_grid)
        return self(tokens, self.window_norm(window_tokens), bias)


class HlgDecoderLayer(GradientCheckpointingLayer):
    """Smoothing, attention inside windows, attention over the windows' means, feed-forward; normalized before each.

    Args:
        config: Gives the width and the size of the windows.
        dilated: Whether there are `config.decoder_dilated_groups` groups of tokens down and across, each spread over
            the whole map, instead of windows of neighbors.
    """

    def __init__(self, config: HlgConfig, *, dilated: bool) -> None:
        super().__init__()
        width = config.decoder_hidden_size
        self.dilated = dilated
        self.divisor = config.decoder_dilated_groups if dilated else config.window_size
        self.smoothing = SpatialSmoothing(width)
        self.attention = SharedAttention(config)
        self.local_norm, self.global_norm, self.mlp_norm = (nn.LayerNorm(width, eps=LAYER_NORM_EPS) for _ in range(3))
        self.mlp = Mlp(hidden_size=width, intermediate_size=MLP_RATIO * width, hidden_act="gelu")

    def forward(self, feature_map: torch.Tensor) -> torch.Tensor:
        """(batch, width, rows, columns), same back."""
        batch_size, _, rows, columns = feature_map.shape
        padded = self.smoothing(pad_to_multiple(feature_map, self.divisor))
        grid = (padded.shape[-2], padded.shape[-1])
        window = (grid[0] // self.divisor, grid[1] // self.divisor) if self.dilated else (self.divisor, self.divisor)
        windows = split_windows(padded, window, dilated=self.dilated)
        windows = windows + self.attention.within(self.local_norm(windows), window)
        window_tokens = windows.mean(1).unflatten(0, (batch_size, -1))
        joined = join_windows(windows, grid, window, dilated=self.dilated)[:, :, :rows, :columns]
        tokens = joined.flatten(2).transpose(1, 2)
        window_grid = (grid[0] // window[0], grid[1] // window[1])
        tokens = tokens + self.attention.over_windows(
            self.global_norm(tokens), window_tokens, (rows, columns), window_grid
        )
        tokens = tokens + self.mlp(self.mlp_norm(tokens))
        return tokens.transpose(1, 2).unflatten(2, (rows, columns)).contiguous()


class HlgDecoder(DecodeHead):
    """Maps of all stages at the finest one's size, a 3x3 convolution, local-global layers, a 1x1 classifier."""

    def __init__(self, config: HlgConfig) -> None:
        super().__init__(config, loss_name="decode.loss_seg")
        width = config.decoder_hidden_size
        self.fusion = ConvNormAct(sum(config.hidden_sizes), width, kernel_size=3, bias=True)
        self.layers = nn.ModuleList(
            HlgDecoderLayer(config, dilated=index % 2 == 1) for index in range(config.decoder_num_layers)
        )
        self.dropout = nn.Dropout2d(config.decoder_dropout)
        self.classifier = nn.Conv2d(width, config.num_labels, kernel_size=1)

    def classify(self, feature_maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Four maps, finest first -> logits (batch, num_labels, side, side)."""
        finest = feature_maps[0].shape[-2:]
        coarser = [resize_bilinear(feature_map, finest) for feature_map in feature_maps[1:]]
        feature_map = self.fusion(torch.cat([feature_maps[0], *coarser], dim=1))
        for layer in self.layers:
            feature_map = layer(feature_map)
        logits = self.classifier(self.dropout(feature_map))
        # A square of the width's size for inputs of any shape, which is then resized to the input: as in the original.
        side = FINEST_STRIDE * logits.shape[-1]
        return resize_bilinear(logits, (side, side))


__all__ = ["HlgDecoder", "HlgDecoderLayer"]
