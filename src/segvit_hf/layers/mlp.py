"""The feed-forward part of a transformer layer."""

import torch
from torch import nn

from segvit_hf._compat import ACT2FN


class Mlp(nn.Module):
    """Two linear layers with an activation in between; dropout after each.

    Args:
        hidden_size: Width of the tokens.
        intermediate_size: Width between the two layers.
        hidden_act: Name of the activation, one of transformers' `ACT2FN`.
        dropout: Dropout probability.
    """

    def __init__(self, *, hidden_size: int, intermediate_size: int, hidden_act: str, dropout: float = 0.0) -> None:
        super().__init__()
        self.fc1 = nn.Linear(hidden_size, intermediate_size)
        self.activation = ACT2FN[hidden_act]
        self.fc2 = nn.Linear(intermediate_size, hidden_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """(..., hidden_size) -> (..., hidden_size), without the residual."""
        return self.dropout(self.fc2(self.dropout(self.activation(self.fc1(hidden_states)))))


class GatedMlp(nn.Module):
    """Two linear layers side by side, one of which gates the other, and one behind them (SwiGLU; Shazeer, 2020).

    Args:
        hidden_size: Width of the tokens.
        intermediate_size: Width between the layers.
        hidden_act: Name of the gate's activation, one of transformers' `ACT2FN`.
        dropout: Dropout probability of the output.
    """

    def __init__(self, *, hidden_size: int, intermediate_size: int, hidden_act: str, dropout: float = 0.0) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(hidden_size, intermediate_size)
        self.up_proj = nn.Linear(hidden_size, intermediate_size)
        self.activation = ACT2FN[hidden_act]
        self.down_proj = nn.Linear(intermediate_size, hidden_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """(..., hidden_size) -> (..., hidden_size), without the residual."""
        gated = self.activation(self.gate_proj(hidden_states)) * self.up_proj(hidden_states)
        return self.dropout(self.down_proj(gated))


__all__ = ["GatedMlp", "Mlp"]
