"""ViT-Adapter (Chen et al., ICLR 2023): a plain ViT or BEiT with an adapter, decoded by UperNet or Mask2Former.

Follows the segmentation code of https://github.com/czczup/ViT-Adapter. The original needs inputs whose sides are
multiples of 32 and, with BEiT, of one size; here inputs of any size are padded with zeros and the scores cropped back.
"""

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedModel

from segvit_hf._compat import (
    BackboneMixin,
    BackboneOutput,
    TransformersKwargs,
    Unpack,
    can_return_tuple,
    initialization,
)
from segvit_hf.encoders.vit_adapter import SIZE_DIVISOR, VitAdapterEncoder
from segvit_hf.layers.attention import SelectableAttention
from segvit_hf.layers.convolution import reset_convolution
from segvit_hf.layers.deformable_attention import MultiScaleDeformableAttention
from segvit_hf.models.semantic_segmentation import SemanticSegmentationModel, SemanticSegmentationOutput
from segvit_hf.models.vit_adapter.configuration_vit_adapter import VitAdapterConfig
from segvit_hf.models.vit_adapter.loss_vit_adapter import Mask2FormerLoss, UperNetLoss
from segvit_hf.models.vit_adapter.mask2former import Mask2FormerDecoder, semantic_scores
from segvit_hf.models.vit_adapter.upernet import AuxiliaryHead, UperNetDecoder

Size = tuple[int, int]
STRIDES = (4, 4, 8, 16, 32)  # of the stem and the four stages


def padded_size(size: Size) -> Size:
    """(height, width) up to the next multiples of 32, the size of the input that the encoder really sees."""
    height, width = size
    return height + -height % SIZE_DIVISOR, width + -width % SIZE_DIVISOR


def resize_and_crop(scores: torch.Tensor, size: Size) -> torch.Tensor:
    """Scores at the input's size, without the padding.

    Args:
        scores: (batch, num_labels, rows, columns), of the padded input.
        size: (height, width) of the input.

    Returns:
        (batch, num_labels, height, width).
    """
    scores = F.interpolate(scores, size=padded_size(size), mode="bilinear", align_corners=False)
    return scores[:, :, : size[0], : size[1]].contiguous()


class VitAdapterForSemanticSegmentation(SemanticSegmentationModel):
    """ViT-Adapter with UperNet's or Mask2Former's decoder."""

    config: VitAdapterConfig
    _no_split_modules = [*VitAdapterEncoder._no_split_modules, "PixelDecoderLayer", "MaskedAttentionLayer"]

    def __init__(self, config: VitAdapterConfig) -> None:
        super().__init__(config)
        self.encoder = VitAdapterEncoder(config)
        self.decoder: UperNetDecoder | Mask2FormerDecoder
        self.loss: UperNetLoss | Mask2FormerLoss
        if config.decoder_type == "mask2former":
            self.decoder = Mask2FormerDecoder(config)
            self.loss = Mask2FormerLoss(config)
        else:
            self.decoder = UperNetDecoder(config)
            self.loss = UperNetLoss(config)
            if config.use_auxiliary_head:
                self.auxiliary_head = AuxiliaryHead(config)
        self.post_init()

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

    def forward_whole(
        self, pixel_values: torch.Tensor, labels: torch.Tensor | None = None, **kwargs: Unpack[TransformersKwargs]
    ) -> SemanticSegmentationOutput:
        size = (pixel_values.shape[-2], pixel_values.shape[-1])
        encoded = self.encoder(pixel_values, **kwargs)
        losses = None
        if isinstance(self.decoder, Mask2FormerDecoder):
            predictions = self.decoder(encoded.feature_maps, return_auxiliary=labels is not None)
            logits = resize_and_crop(semantic_scores(*predictions[-1]), size)
            if labels is not None:
                # Masks are predicted for the padded input, so the labels are padded too.
                height, width = padded_size(size)
                padding = (0, width - size[1], 0, height - size[0])
                losses = self.loss(predictions, F.pad(labels, padding, value=self.config.semantic_loss_ignore_index))
        else:
            logits = resize_and_crop(self.decoder(encoded.feature_maps), size)
            if labels is not None:
                auxiliary_logits = None
                if self.config.use_auxiliary_head:
                    auxiliary_logits = resize_and_crop(self.auxiliary_head(encoded.feature_maps), size)
                losses = self.loss(logits, auxiliary_logits, labels)
        return SemanticSegmentationOutput(
            loss=None if losses is None else torch.stack(list(losses.values())).sum(),
            logits=logits,
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
            losses=losses,
        )


class VitAdapterBackbone(SelectableAttention, BackboneMixin, PreTrainedModel):
    """ViT-Adapter's encoder as a backbone: feature maps `"stage1"` to `"stage4"`, strides 4, 8, 16 and 32, and `"stem"`.

    Its parameters have the names that they have in [`VitAdapterForSemanticSegmentation`], whose checkpoints it loads.
    """

    config: VitAdapterConfig
    base_model_prefix = "encoder"
    main_input_name = "pixel_values"
    input_modalities = ["image"]
    supports_gradient_checkpointing = True
    _no_split_modules = VitAdapterEncoder._no_split_modules
    _input_embed_layer = "patch_embeddings"
    _supports_sdpa = True
    _keys_to_ignore_on_load_unexpected = [r"^decoder\.", r"^auxiliary_head\."]

    def __init__(self, config: VitAdapterConfig) -> None:
        super().__init__(config)
        self.num_features = [config.hidden_size] * len(config.stage_names)
        self.encoder = VitAdapterEncoder(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.encoder.get_input_embeddings()

    @can_return_tuple
    def forward(self, pixel_values: torch.Tensor, **kwargs: Unpack[TransformersKwargs]) -> BackboneOutput:
        """Args:
            pixel_values: (batch, channels, height, width) of any size.

        Returns:
            The chosen feature maps (batch, hidden_size, ceil(height / stride), ceil(width / stride)), and the
            encoder's hidden states and attention probabilities where they were asked for.
        """
        encoded = self.encoder(pixel_values, **kwargs)
        height, width = pixel_values.shape[-2:]
        feature_maps = []
        all_maps = (encoded.stem_map, *encoded.feature_maps)
        for name, stride, feature_map in zip(self.stage_names, STRIDES, all_maps, strict=True):
            if name in self.out_features:
                feature_maps.append(feature_map[:, :, : -(-height // stride), : -(-width // stride)].contiguous())
        return BackboneOutput(
            feature_maps=tuple(feature_maps), hidden_states=encoded.hidden_states, attentions=encoded.attentions
        )


__all__ = ["VitAdapterBackbone", "VitAdapterForSemanticSegmentation"]
