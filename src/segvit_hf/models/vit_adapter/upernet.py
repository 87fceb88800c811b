"""UperNet's decoder (Xiao et al., 2018) and the convolutional auxiliary head.

Follow UPerHead and FCNHead of mmsegmentation 0.x.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from segvit_hf.encoders.configuration_vit_adapter import NUM_FEATURE_MAPS
from segvit_hf.layers.convolution import NormalizedConvolution
from segvit_hf.models.vit_adapter.configuration_vit_adapter import VitAdapterConfig


def resize_like(feature_map: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Bilinear resize (align_corners False) to another map's size."""
    return F.interpolate(feature_map, size=target.shape[-2:], mode="bilinear", align_corners=False)


class UperNetDecoder(nn.Module):
    """Pyramid pooling on the coarsest map, then a feature pyramid down to the finest, all maps fused at its size."""

    def __init__(self, config: VitAdapterConfig) -> None:
        super().__init__()
        size, width = config.hidden_size, config.decoder_hidden_size
        self.pool_scales = list(config.pool_scales)
        self.pooled_convolutions = nn.ModuleList(NormalizedConvolution(size, width) for _ in self.pool_scales)
        self.bottleneck = NormalizedConvolution(size + len(self.pool_scales) * width, width, kernel_size=3)
        self.lateral_convolutions = nn.ModuleList(
            NormalizedConvolution(size, width) for _ in range(NUM_FEATURE_MAPS - 1)
        )
        self.pyramid_convolutions = nn.ModuleList(
            NormalizedConvolution(width, width, kernel_size=3) for _ in range(NUM_FEATURE_MAPS - 1)
        )
        self.pyramid_bottleneck = NormalizedConvolution(NUM_FEATURE_MAPS * width, width, kernel_size=3)
        self.dropout = nn.Dropout2d(config.decoder_dropout)
        self.classifier = nn.Conv2d(width, config.num_labels, kernel_size=1)

    def forward(self, feature_maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Args:
            feature_maps: Four maps (batch, hidden_size, rows, columns), finest first.

        Returns:
            Logits (batch, num_labels, rows, columns) at the finest map's size.
        """
        coarsest = feature_maps[-1]
        pooled = [
            resize_like(convolution(F.adaptive_avg_pool2d(coarsest, scale)), coarsest)
            for scale, convolution in zip(self.pool_scales, self.pooled_convolutions, strict=True)
        ]
        maps = [
            convolution(feature_map)
            for convolution, feature_map in zip(self.lateral_convolutions, feature_maps[:-1], strict=True)
        ]
        maps.append(self.bottleneck(torch.cat([coarsest, *pooled], dim=1)))
        for index in range(len(maps) - 1, 0, -1):
            maps[index - 1] = maps[index - 1] + resize_like(maps[index], maps[index - 1])
        outputs = [
            convolution(feature_map)
            for convolution, feature_map in zip(self.pyramid_convolutions, maps[:-1], strict=True)
        ]
        outputs.append(maps[-1])
        fused = self.pyramid_bottleneck(torch.cat([resize_like(output, outputs[0]) for output in outputs], dim=1))
        return self.classifier(self.dropout(fused))


class AuxiliaryHead(nn.Module):
    """Convolutions and a classifier on one feature map; used in training only."""

    def __init__(self, config: VitAdapterConfig) -> None:
        super().__init__()
        self.map_index = config.auxiliary_map_index
        width = config.auxiliary_hidden_size
        self.convolutions = nn.ModuleList(
            NormalizedConvolution(config.hidden_size if index == 0 else width, width, kernel_size=3)
            for index in range(config.auxiliary_num_convolutions)
        )
        self.dropout = nn.Dropout2d(config.decoder_dropout)
        self.classifier = nn.Conv2d(width, config.num_labels, kernel_size=1)

    def forward(self, feature_maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Four maps, finest first -> logits (batch, num_labels, rows, columns) at the size of one of them."""
        feature_map = feature_maps[self.map_index]
        for convolution in self.convolutions:
            feature_map = convolution(feature_map)
        return self.classifier(self.dropout(feature_map))


__all__ = ["AuxiliaryHead", "UperNetDecoder"]
