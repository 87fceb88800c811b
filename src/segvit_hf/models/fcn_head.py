"""The convolutional head on one feature map that several originals train along, mmsegmentation's FCNHead."""

from collections.abc import Sequence

import torch
from torch import nn

from segvit_hf.layers.convolution import ConvNormAct
from segvit_hf.models.configuration import SemanticSegmentationConfig
from segvit_hf.models.decoder import DecodeHead


class FcnHead(DecodeHead):
    """3x3 convolutions with batch norm and ReLU, and a classifier, on one feature map.

    Args:
        config: Gives the number of classes and the ignore index.
        map_index: Which feature map is read.
        in_channels: Its channels.
        hidden_size: Channels of the convolutions.
        num_convolutions: Number of convolutions.
        dropout: Probability with which a channel in front of the classifier is dropped in training.
        loss_name: The original's name of the loss.
        loss_weight: Factor of the loss.
        size_divisor: What the sides of the input were padded to multiples of before the encoder; 1 for no padding.
    """

    def __init__(
        self,
        config: SemanticSegmentationConfig,
        *,
        map_index: int,
        in_channels: int,
        hidden_size: int,
        num_convolutions: int,
        dropout: float,
        loss_name: str,
        loss_weight: float,
        size_divisor: int = 1,
    ) -> None:
        super().__init__(config, loss_name=loss_name, loss_weight=loss_weight, size_divisor=size_divisor)
        self.map_index = map_index
        self.convolutions = nn.ModuleList(
            ConvNormAct(hidden_size if index else in_channels, hidden_size, kernel_size=3)
            for index in range(num_convolutions)
        )
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(hidden_size, config.num_labels, kernel_size=1)

    def classify(self, feature_maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Feature maps -> logits (batch, num_labels, rows, columns) at the size of one of them."""
        feature_map = feature_maps[self.map_index]
        for convolution in self.convolutions:
            feature_map = convolution(feature_map)
        return self.classifier(self.dropout(feature_map))


__all__ = ["FcnHead"]
