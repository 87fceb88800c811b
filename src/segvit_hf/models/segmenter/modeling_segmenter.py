"""Segmenter: transformer for semantic segmentation (Strudel et al., ICCV 2021).

The scalar product between class embeddings and patches, after both went through a few joint transformer layers, is the
segmentation mask; the simpler variant classifies every patch with a linear layer. Follows Segmenter, MaskTransformer
and DecoderLinear of https://github.com/rstrudel/segmenter.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from segvit_hf._compat import (
    TransformersKwargs,
    Unpack,
    capture_outputs,
    initialization,
    merge_with_config_defaults,
)
from segvit_hf.encoders.vit import ViTEncoder, ViTLayer
from segvit_hf.layers.attention import MultiHeadAttention, SelectableAttention
from segvit_hf.models.segmenter.configuration_segmenter import SegmenterConfig
from segvit_hf.models.segmenter.loss_segmenter import SegmenterLoss
from segvit_hf.models.semantic_segmentation import SemanticSegmentationModel, SemanticSegmentationOutput

LAYER_NORM_EPS = 1e-5  # of the decoder; the encoder's is a field of the configuration


@dataclass
class SegmenterDecoderOutput(ModelOutput):
    """Args:
    logits: (batch, num_labels, rows, columns).
    attentions: Every layer's probabilities, (batch, num_heads, num_tokens, num_tokens) each: the patches, row by
        row, then the class embeddings. `None` for the linear decoder.
    """

    logits: torch.Tensor | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


class SegmenterLinearDecoder(nn.Module):
    """Classifies every patch by itself."""

    def __init__(self, config: SegmenterConfig) -> None:
        super().__init__()
        assert config.num_labels is not None
        self.head = nn.Linear(config.hidden_size, config.num_labels)

    def forward(self, feature_map: torch.Tensor, **kwargs: Unpack[TransformersKwargs]) -> SegmenterDecoderOutput:
        """(batch, hidden_size, rows, columns) -> logits of the same grid."""
        return SegmenterDecoderOutput(logits=self.head(feature_map.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))


class SegmenterMaskTransformer(SelectableAttention, PreTrainedModel):
    """Compares every patch with one embedding per class, after joint transformer layers."""

    config: SegmenterConfig
    main_input_name = "feature_map"
    supports_gradient_checkpointing = True
    _no_split_modules = ["ViTLayer"]
    _supports_sdpa = True
    _can_record_outputs = {"attentions": MultiHeadAttention}

    def __init__(self, config: SegmenterConfig) -> None:
        super().__init__(config)
        width, num_labels = config.decoder_hidden_size, config.num_labels
        assert width is not None  # the configuration fills what was left open
        assert num_labels is not None
        self.input_projection = nn.Linear(config.hidden_size, width)
        self.class_embeddings = nn.Parameter(torch.zeros(1, num_labels, width))
        last = max(config.decoder_num_layers - 1, 1)
        self.layers = nn.ModuleList(
            ViTLayer(
                config,
                drop_path=config.decoder_drop_path_rate * index / last,
                hidden_size=width,
                num_heads=config.decoder_num_attention_heads,
                intermediate_size=config.decoder_intermediate_size,
                dropout=config.decoder_dropout,
                layer_norm_eps=LAYER_NORM_EPS,
            )
            for index in range(config.decoder_num_layers)
        )
        self.norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        # Multiplied from the right, as in the original: rows are inputs.
        self.patch_projection = nn.Parameter(torch.zeros(width, width))
        self.class_projection = nn.Parameter(torch.zeros(width, width))
        self.mask_norm = nn.LayerNorm(num_labels, eps=LAYER_NORM_EPS)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Linear):
            initialization.trunc_normal_(module.weight, std=self.config.initializer_range)
        elif module is self:
            initialization.trunc_normal_(module.class_embeddings, std=self.config.initializer_range)
            for projection in (module.patch_projection, module.class_projection):
                initialization.normal_(projection, std=len(projection) ** -0.5)

    @merge_with_config_defaults
    @capture_outputs
    def forward(self, feature_map: torch.Tensor, **kwargs: Unpack[TransformersKwargs]) -> SegmenterDecoderOutput:
        """(batch, hidden_size, rows, columns) -> cosine similarities, normalized over classes, of the same grid."""
        grid = feature_map.shape[-2:]
        patches = self.input_projection(feature_map.flatten(2).transpose(1, 2))
        hidden_states = torch.cat([patches, self.class_embeddings.expand(len(patches), -1, -1)], dim=1)
        for layer in self.layers:
            hidden_states = layer(hidden_states, **kwargs)
        patches, classes = self.norm(hidden_states).split([grid.numel(), self.config.num_labels], dim=1)
        patches = F.normalize(patches @ self.patch_projection, dim=-1)
        classes = F.normalize(classes @ self.class_projection, dim=-1)
        masks = self.mask_norm(patches @ classes.transpose(1, 2))
        return SegmenterDecoderOutput(logits=masks.transpose(1, 2).unflatten(2, grid))


class SegmenterForSemanticSegmentation(SemanticSegmentationModel):
    """Segmenter: a plain ViT and a linear or mask-transformer decoder."""

    config: SegmenterConfig
    _no_split_modules = ["ViTEmbeddings", "ViTLayer"]

    def __init__(self, config: SegmenterConfig) -> None:
        super().__init__(config)
        self.encoder = ViTEncoder(config)
        is_linear = config.decoder_type == "linear"
        self.decoder: nn.Module = SegmenterLinearDecoder(config) if is_linear else SegmenterMaskTransformer(config)
        self.loss = SegmenterLoss(config)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Linear):
            initialization.trunc_normal_(module.weight, std=self.config.initializer_range)

    def forward_whole(
        self, pixel_values: torch.Tensor, labels: torch.Tensor | None = None, **kwargs: Unpack[TransformersKwargs]
    ) -> SemanticSegmentationOutput:
        encoded = self.encoder(pixel_values, **kwargs)
        decoded = self.decoder(encoded.feature_maps[-1], **kwargs)
        logits = self.resize_to_input(decoded.logits, pixel_values.shape[-2:])
        losses = None if labels is None else self.loss(logits, labels)
        return SemanticSegmentationOutput(
            loss=None if losses is None else losses["loss"],
            logits=logits,
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
            decoder_attentions=decoded.attentions,
            losses=losses,
        )

    def resize_to_input(self, logits: torch.Tensor, input_size: torch.Size) -> torch.Tensor:
        """(batch, num_labels, rows, columns) -> (batch, num_labels, height, width) of the input."""
        size = list(input_size)
        if self.config.crop_padded_logits:
            size = [side * self.config.patch_size for side in logits.shape[-2:]]
        logits = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
        return logits[:, :, : input_size[0], : input_size[1]].contiguous()


__all__ = ["SegmenterForSemanticSegmentation", "SegmenterMaskTransformer"]
