"""ViT-Adapter's spatial prior module: a small convolutional network whose four maps guide a plain ViT.

Follows SpatialPriorModule of https://github.com/czczup/ViT-Adapter (Chen et al., ICLR 2023).
"""

import torch
from torch import nn

from segvit_hf.layers.convolution import ConvNormAct


class SpatialPriorModule(nn.Module):
    """Three convolutions and a pool, then stages that halve the size, each map projected to the ViT's width.

    Args:
        num_channels: Channels of the image.
        stem_size: Channels of the first convolutions; deeper ones have two and four times as many.
        hidden_size: Channels of the maps, the width of the ViT.
    """

    def __init__(self, *, num_channels: int, stem_size: int, hidden_size: int) -> None:
        super().__init__()
        self.stem = nn.ModuleList(
            [
                ConvNormAct(num_channels, stem_size, kernel_size=3, stride=2),
                ConvNormAct(stem_size, stem_size, kernel_size=3),
                ConvNormAct(stem_size, stem_size, kernel_size=3),
            ]
        )
        self.pool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        sizes = [stem_size, 2 * stem_size, 4 * stem_size, 4 * stem_size]
        self.stages = nn.ModuleList(
            ConvNormAct(sizes[index], sizes[index + 1], kernel_size=3, stride=2) for index in range(3)
        )
        self.projections = nn.ModuleList(nn.Conv2d(size, hidden_size, kernel_size=1) for size in sizes)

    def forward(self, pixel_values: torch.Tensor) -> list[torch.Tensor]:
        """Computes the four guiding maps.

        Args:
            pixel_values: (batch, num_channels, height, width), sides multiples of 32.

        Returns:
            Four maps (batch, hidden_size, height / stride, width / stride) at strides 4, 8, 16 and 32.
        """
        feature_map = pixel_values
        for convolution in self.stem:
            feature_map = convolution(feature_map)
        feature_maps = [self.pool(feature_map)]
        for stage in self.stages:
            feature_maps.append(stage(feature_maps[-1]))
        return [projection(feature) for projection, feature in zip(self.projections, feature_maps, strict=True)]


__all__ = ["SpatialPriorModule"]
