"""Layer normalization of feature maps."""

import torch
from torch import nn


def layer_norm_map(norm: nn.Module, feature_map: torch.Tensor) -> torch.Tensor:
    """A layer norm over the channels of (batch, channels, rows, columns)."""
    return norm(feature_map.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).contiguous()


__all__ = ["layer_norm_map"]
