"""ViT-Adapter (Chen et al., ICLR 2023): a plain ViT or BEiT with an adapter, decoded by UperNet or Mask2Former.

Follows the segmentation code of https://github.com/czczup/ViT-Adapter. The original needs inputs whose sides are
multiples of 32 and, with BEiT, of one size; here inputs of any size are padded with zeros and the scores cropped back.
"""

from collections.abc import Iterable

import torch
from torch import nn

from segvit_hf._compat import initialization
from segvit_hf.encoders.backbone_adapter import BackboneAdapterEncoder
from segvit_hf.encoders.configuration_backbone import has_backbone
from segvit_hf.encoders.vit import ViTPreTrainedModel
from segvit_hf.encoders.vit_adapter import STRIDES, ViTAdapterEncoder
from segvit_hf.layers.convolution import reset_convolution
from segvit_hf.layers.deformable_attention import MultiScaleDeformableAttention
from segvit_hf.models.backbone import EncoderBackbone
from segvit_hf.models.semantic_segmentation import SemanticSegmentationModel
from segvit_hf.models.vit_adapter.configuration_vit_adapter import VitAdapterConfig
from segvit_hf.models.vit_adapter.mask2former import Mask2FormerDecoder
from segvit_hf.models.vit_adapter.upernet import AuxiliaryHead, UperNetDecoder


class VitAdapterForSemanticSegmentation(SemanticSegmentationModel):
    """ViT-Adapter with UperNet's or Mask2Former's decoder."""

    config: VitAdapterConfig
    encoder_class = ViTAdapterEncoder
    backbone_encoder_class = BackboneAdapterEncoder
    decoder_classes = {"mask2former": Mask2FormerDecoder, "upernet": UperNetDecoder}
    _no_split_modules = ["PixelDecoderLayer", "MaskedAttentionLayer"]

    def build_decoder(self, config: VitAdapterConfig) -> None:
        """Makes the decoder, and UperNet's auxiliary head."""
        super().build_decoder(config)
        if config.decoder_type == "upernet" and config.use_auxiliary_head:
            self.auxiliary_head = AuxiliaryHead(config)

    def auxiliary_decoders(self) -> Iterable[nn.Module]:
        """The auxiliary head, if there is one."""
        return [self.auxiliary_head] if hasattr(self, "auxiliary_head") else []

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Conv2d):
            reset_convolution(module)
        elif isinstance(module, nn.Embedding):  # queries and levels
            initialization.normal_(module.weight)
        elif isinstance(module, nn.Linear):
            initialization.xavier_normal_(module.weight)
        elif isinstance(module, MultiScaleDeformableAttention):
            module.reset_parameters()


class VitAdapterBackbone(EncoderBackbone, ViTPreTrainedModel):
    """ViT-Adapter's encoder as a backbone.

    Its feature maps are `"stage1"` to `"stage4"`, strides 4, 8, 16 and 32, and `"stem"`, stride 4. Its
    parameters have the names that they have in [`VitAdapterForSemanticSegmentation`], whose checkpoints it loads.
    """

    config: VitAdapterConfig
    strides = (4, *STRIDES)
    _keys_to_ignore_on_load_unexpected = [r"^decoder\.", r"^auxiliary_head\."]

    def __init__(self, config: VitAdapterConfig) -> None:
        super().__init__(config)
        self.num_features = [config.hidden_size] * len(config.stage_names)
        self.encoder = (BackboneAdapterEncoder if has_backbone(config) else ViTAdapterEncoder)(config)
        self.post_init()


__all__ = ["VitAdapterBackbone", "VitAdapterForSemanticSegmentation"]
