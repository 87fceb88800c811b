"""The pre-norm transformer layer of plain vision transformers (Dosovitskiy et al., 2021)."""

import torch
from torch import nn

from segvit_hf._compat import GradientCheckpointingLayer, TransformersKwargs, Unpack, initialization
from segvit_hf.layers.attention import Attention
from segvit_hf.layers.drop_path import DropPath
from segvit_hf.layers.mlp import GatedMlp, Mlp


class TransformerLayer(GradientCheckpointingLayer):
    """Normalized attention and normalized feed-forward, each added to what goes in.

    Args:
        attention: Maps tokens to (tokens, probabilities or `None`).
        mlp: The feed-forward part.
        hidden_size: Width of the tokens.
        layer_norm_eps: Epsilon of the two layer norms.
        dropout: Dropout probability of the attention's output.
        attention_drop_path: Stochastic depth of the attention branch.
        mlp_drop_path: Stochastic depth of the feed-forward branch.
        layer_scale_init_value: Initial value of the per-channel factors of the two branches. `None`: no such factors.
    """

    def __init__(
        self,
        attention: Attention,
        mlp: Mlp | GatedMlp,
        *,
        hidden_size: int,
        layer_norm_eps: float,
        dropout: float = 0.0,
        attention_drop_path: float = 0.0,
        mlp_drop_path: float = 0.0,
        layer_scale_init_value: float | None = None,
    ) -> None:
        super().__init__()
        self.layer_scale_init_value = layer_scale_init_value
        self.norm1 = nn.LayerNorm(hidden_size, eps=layer_norm_eps)
        self.attention = attention
        self.attention_dropout = nn.Dropout(dropout)
        self.attention_drop_path = DropPath(attention_drop_path)
        self.norm2 = nn.LayerNorm(hidden_size, eps=layer_norm_eps)
        self.mlp = mlp
        self.drop_path = DropPath(mlp_drop_path)
        if layer_scale_init_value is not None:
            self.layer_scale1 = nn.Parameter(torch.full((hidden_size,), float(layer_scale_init_value)))
            self.layer_scale2 = nn.Parameter(torch.full((hidden_size,), float(layer_scale_init_value)))

    def reset_parameters(self) -> None:
        """Gives layer scale its initial value."""
        if self.layer_scale_init_value is not None:
            initialization.constant_(self.layer_scale1, float(self.layer_scale_init_value))
            initialization.constant_(self.layer_scale2, float(self.layer_scale_init_value))

    def forward(
        self,
        hidden_states: torch.Tensor,
        query_states: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> torch.Tensor:
        """One step of the residual stream.

        Args:
            hidden_states: (batch, num_tokens, hidden_size).
            query_states: (batch, num_queries, hidden_size), a subset of the tokens that alone goes on (Shrunk); for
                attentions that take queries of their own.
            **kwargs: Passed to the attention; BEiT's needs `relative_positions`.

        Returns:
            (batch, num_queries or num_tokens, hidden_size).
        """
        if query_states is None:
            residual = hidden_states
            attention_output, _ = self.attention(self.norm1(hidden_states), **kwargs)
        else:
            residual = query_states
            attention_output, _ = self.attention(self.norm1(hidden_states), self.norm1(query_states), **kwargs)
        attention_output = self.attention_dropout(attention_output)
        if self.layer_scale_init_value is not None:
            attention_output = self.layer_scale1 * attention_output
        hidden_states = residual + self.attention_drop_path(attention_output)
        mlp_output = self.mlp(self.norm2(hidden_states))
        if self.layer_scale_init_value is not None:
            mlp_output = self.layer_scale2 * mlp_output
        return hidden_states + self.drop_path(mlp_output)


__all__ = ["TransformerLayer"]
