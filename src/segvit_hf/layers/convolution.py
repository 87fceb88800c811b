"""A convolution with its normalization and activation, the building block of convolutional modules."""

import math

import torch
from torch import nn

from segvit_hf._compat import ACT2FN, initialization


class ConvNormAct(nn.Module):
    """Convolution, batch or group normalization, activation; same size for stride 1.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Side of the kernel; padding is half of it, rounded down.
        stride: Stride of the convolution.
        groups: Of the convolution.
        num_groups: Group normalization with so many groups, or batch normalization for `None`.
        bias: Whether the convolution has a bias.
        activation: Name of what follows, one of transformers' `ACT2FN`, or `None`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: int = 1,
        stride: int = 1,
        groups: int = 1,
        num_groups: int | None = None,
        bias: bool = False,
        activation: str | None = "relu",
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=kernel_size // 2,
            groups=groups,
            bias=bias,
        )
        self.norm: nn.Module
        if num_groups is None:
            self.norm = nn.BatchNorm2d(out_channels)
        else:
            self.norm = nn.GroupNorm(num_groups, out_channels)
        self.activation: nn.Module = nn.Identity() if activation is None else ACT2FN[activation]

    def forward(self, feature_map: torch.Tensor) -> torch.Tensor:
        """(batch, in_channels, rows, columns) -> (batch, out_channels, rows / stride, columns / stride)."""
        return self.activation(self.norm(self.convolution(feature_map)))


def reset_convolution(convolution: nn.Conv2d | nn.ConvTranspose2d) -> None:
    """He initialization by the number of outputs; zero bias."""
    fan_out = math.prod(convolution.kernel_size) * convolution.out_channels // convolution.groups
    initialization.normal_(convolution.weight, std=math.sqrt(2.0 / fan_out))
    if convolution.bias is not None:
        initialization.zeros_(convolution.bias)


def reset_convolution_as_torch(convolution: nn.Conv2d) -> None:
    """The initial values that torch gives by default, which several originals keep."""
    initialization.kaiming_uniform_(convolution.weight, a=math.sqrt(5))
    if convolution.bias is not None:
        bound = 1 / math.sqrt(convolution.weight[0].numel())
        initialization.uniform_(convolution.bias, -bound, bound)


__all__ = ["ConvNormAct", "reset_convolution", "reset_convolution_as_torch"]
