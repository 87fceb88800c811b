"""Stochastic depth (Huang et al., 2016), per sample."""

import torch
from torch import nn


class DropPath(nn.Module):
    """Zeroes a residual branch of a sample with probability `drop_prob` in training, and rescales those it keeps."""

    def __init__(self, drop_prob: float = 0.0) -> None:
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Any shape with the batch first; same shape back."""
        if self.drop_prob == 0.0 or not self.training:
            return hidden_states
        keep_prob = 1.0 - self.drop_prob
        shape = (hidden_states.shape[0],) + (1,) * (hidden_states.ndim - 1)
        return hidden_states * hidden_states.new_empty(shape).bernoulli_(keep_prob).div_(keep_prob)

    def extra_repr(self) -> str:
        """What `print` shows of the layer."""
        return f"drop_prob={self.drop_prob}"


def linear_drop_path(rate: float, index: int, num_layers: int) -> float:
    """The probability of layer `index` (0-based): it rises linearly from 0 to `rate` in the last layer."""
    return rate * index / max(num_layers - 1, 1)


__all__ = ["DropPath", "linear_drop_path"]
