"""UperNet's decoder (Xiao et al., 2018) and the convolutional auxiliary head.

Follow UPerHead and FCNHead of mmsegmentation 0.x.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from segvit_hf.encoders.configuration_vit_adapter import NUM_FEATURE_MAPS, SIZE_DIVISOR
from segvit_hf.layers.convolution import ConvNormAct
from segvit_hf.layers.resize import resize_bilinear
from segvit_hf.models.decoder import DecodeHead
from segvit_hf.models.fcn_head import FcnHead
from segvit_hf.models.vit_adapter.configuration_vit_adapter import VitAdapterConfig


class UperNetDecoder(DecodeHead):
    """Pyramid pooling on the coarsest map, then a feature pyramid down to the finest, all maps fused at its size."""

    def __init__(self, config: VitAdapterConfig) -> None:
        super().__init__(config, loss_name="decode.loss_ce", size_divisor=SIZE_DIVISOR)
        size, width = config.hidden_size, config.decoder_hidden_size
        self.pool_scales = list(config.pool_scales)
        self.pooled_convolutions = nn.ModuleList(ConvNormAct(size, width) for _ in self.pool_scales)
        self.bottleneck = ConvNormAct(size + len(self.pool_scales) * width, width, kernel_size=3)
        self.lateral_convolutions = nn.ModuleList(ConvNormAct(size, width) for _ in range(NUM_FEATURE_MAPS - 1))
        self.pyramid_convolutions = nn.ModuleList(
            ConvNormAct(width, width, kernel_size=3) for _ in range(NUM_FEATURE_MAPS - 1)
        )
        self.pyramid_bottleneck = ConvNormAct(NUM_FEATURE_MAPS * width, width, kernel_size=3)
        self.dropout = nn.Dropout2d(config.decoder_dropout)
        self.classifier = nn.Conv2d(width, config.num_labels, kernel_size=1)

    def classify(self, feature_maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Classifies at the finest resolution.

        Args:
            feature_maps: Four maps (batch, hidden_size, rows, columns), finest first.

        Returns:
            Logits (batch, num_labels, rows, columns) at the finest map's size.
        """
        coarsest = feature_maps[-1]
        pooled = [
            resize_bilinear(convolution(F.adaptive_avg_pool2d(coarsest, scale)), coarsest.shape[-2:])
            for scale, convolution in zip(self.pool_scales, self.pooled_convolutions, strict=True)
        ]
        maps = [
            convolution(feature_map)
            for convolution, feature_map in zip(self.lateral_convolutions, feature_maps[:-1], strict=True)
        ]
        maps.append(self.bottleneck(torch.cat([coarsest, *pooled], dim=1)))
        for index in range(len(maps) - 1, 0, -1):
            maps[index - 1] = maps[index - 1] + resize_bilinear(maps[index], maps[index - 1].shape[-2:])
        outputs = [
            convolution(feature_map)
            for convolution, feature_map in zip(self.pyramid_convolutions, maps[:-1], strict=True)
        ]
        outputs.append(maps[-1])
        finest = outputs[0].shape[-2:]
        fused = self.pyramid_bottleneck(torch.cat([resize_bilinear(output, finest) for output in outputs], dim=1))
        return self.classifier(self.dropout(fused))


class AuxiliaryHead(FcnHead):
    """Convolutions and a classifier on one feature map; used in training only."""

    def __init__(self, config: VitAdapterConfig) -> None:
        super().__init__(
            config,
            map_index=config.auxiliary_map_index,
            in_channels=config.hidden_size,
            hidden_size=config.auxiliary_hidden_size,
            num_convolutions=config.auxiliary_num_convolutions,
            dropout=config.decoder_dropout,
            loss_name="aux.loss_ce",
            loss_weight=config.auxiliary_loss_weight,
            size_divisor=SIZE_DIVISOR,
        )


__all__ = ["AuxiliaryHead", "UperNetDecoder"]
