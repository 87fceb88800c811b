"""The convolutions that HLG smooths maps with before it cuts them into windows."""

import torch
import torch.nn.functional as F
from torch import nn

from segvit_hf.layers.convolution import ConvNormAct

# The tokens' width in units of the bottleneck's.
REDUCTION = 4


class SpatialSmoothing(nn.Module):
    """A residual bottleneck of convolutions in front of the windows, which lets neighbors exchange across borders."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        width = hidden_size // REDUCTION
        self.convolutions = nn.Sequential(
            ConvNormAct(hidden_size, width, bias=True, activation="gelu"),
            ConvNormAct(width, width, kernel_size=3, bias=True, activation="gelu"),
            ConvNormAct(width, hidden_size, bias=True, activation=None),
        )

    def forward(self, feature_map: torch.Tensor) -> torch.Tensor:
        """(batch, hidden_size, rows, columns), same back."""
        return F.gelu(feature_map + self.convolutions(feature_map))


__all__ = ["SpatialSmoothing"]
