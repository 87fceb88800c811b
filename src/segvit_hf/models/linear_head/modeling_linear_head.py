"""A linear head on the patch features of a plain ViT: what tells how good features are, and what to try first.

Follows BNHead of https://github.com/facebookresearch/dinov2 (dinov2/eval/segmentation) and LinearHead of
https://github.com/facebookresearch/dinov3 (dinov3/eval/segmentation), which are the same but for the dropout.
"""

from collections.abc import Sequence

import torch
from torch import nn

from segvit_hf._compat import initialization
from segvit_hf.models.decoder import DecodeHead
from segvit_hf.models.linear_head.configuration_linear_head import LinearHeadConfig
from segvit_hf.models.semantic_segmentation import SemanticSegmentationModel

INITIAL_SPREAD = 0.01  # of the classifier's weights


class LinearDecoder(DecodeHead):
    """Concatenates the feature maps, normalizes every channel over the batch, and classifies every patch."""

    def __init__(self, config: LinearHeadConfig) -> None:
        super().__init__(config, loss_name="decode.loss_ce", size_divisor=config.crop_divisor)
        width = config.hidden_size * len(config.encoder_out_indices or [])
        self.dropout = nn.Dropout2d(config.decoder_dropout)
        self.norm = nn.BatchNorm2d(width) if config.use_batch_norm else nn.Identity()
        self.classifier = nn.Conv2d(width, config.num_labels, kernel_size=1)

    def classify(self, feature_maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Feature maps of one size -> logits (batch, num_labels, rows, columns)."""
        return self.classifier(self.norm(self.dropout(torch.cat(tuple(feature_maps), dim=1))))


class LinearHeadForSemanticSegmentation(SemanticSegmentationModel):
    """A plain ViT and a linear head."""

    config: LinearHeadConfig
    decoder_classes = {"linear": LinearDecoder}

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Conv2d):
            initialization.normal_(module.weight, std=INITIAL_SPREAD)


__all__ = ["LinearHeadForSemanticSegmentation"]
