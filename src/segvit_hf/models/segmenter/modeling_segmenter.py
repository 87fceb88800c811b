"""Segmenter: transformer for semantic segmentation (Strudel et al., ICCV 2021).

The scalar product between class embeddings and patches, after both went through a few joint transformer layers, is the
segmentation mask; the simpler variant classifies every patch with a linear layer. Follows Segmenter, MaskTransformer
and DecoderLinear of https://github.com/rstrudel/segmenter.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from segvit_hf._compat import (
    TransformersKwargs,
    Unpack,
    capture_outputs,
    initialization,
    merge_with_config_defaults,
)
from segvit_hf.encoders.vit import ViTPreTrainedModel
from segvit_hf.layers.attention import Attention, MultiHeadAttention
from segvit_hf.layers.drop_path import linear_drop_path
from segvit_hf.layers.mlp import Mlp
from segvit_hf.layers.resize import resize_padded
from segvit_hf.layers.transformer import TransformerLayer
from segvit_hf.models.configuration import filled
from segvit_hf.models.decoder import LAYER_NORM_EPS, DecoderOutput
from segvit_hf.models.losses import cross_entropy
from segvit_hf.models.segmenter.configuration_segmenter import SegmenterConfig
from segvit_hf.models.semantic_segmentation import SemanticSegmentationModel


def segmenter_output(
    config: SegmenterConfig, logits: torch.Tensor, size: tuple[int, int], labels: torch.Tensor | None
) -> DecoderOutput:
    """What both decoders return.

    The loss is that of the original's train_one_epoch: the mean over the pixels that have a class.

    Args:
        config: Says how logits get the input's size, and gives the ignore index.
        logits: (batch, num_labels, rows, columns), one for every patch.
        size: (height, width) of the input.
        labels: (batch, height, width), int64.
    """
    logits = resize_padded(logits, size, config.crop_divisor)
    losses = None
    if labels is not None:
        losses = {"loss": cross_entropy(logits, labels, config.semantic_loss_ignore_index, avg_non_ignore=True)}
    return DecoderOutput(logits=logits, losses=losses)


class SegmenterLinearDecoder(nn.Module):
    """Classifies every patch by itself."""

    def __init__(self, config: SegmenterConfig) -> None:
        super().__init__()
        self.config = config
        self.head = nn.Linear(config.hidden_size, config.num_labels)

    def forward(
        self,
        feature_maps: Sequence[torch.Tensor],
        size: tuple[int, int],
        labels: torch.Tensor | None = None,
        **_kwargs: Unpack[TransformersKwargs],
    ) -> DecoderOutput:
        """As every decoder's, see `segvit_hf.models.decoder`."""
        logits = self.head(feature_maps[-1].permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return segmenter_output(self.config, logits, size, labels)


class SegmenterMaskTransformer(ViTPreTrainedModel):
    """Compares every patch with one embedding per class, after joint transformer layers.

    Its attentions are those of the patches, row by row, then of the class embeddings: (batch, num_heads, num_tokens,
    num_tokens) for every layer.
    """

    config: SegmenterConfig
    main_input_name = "feature_maps"
    _no_split_modules = ["TransformerLayer"]
    _can_record_outputs = {"attentions": Attention}

    def __init__(self, config: SegmenterConfig) -> None:
        super().__init__(config)
        width, num_labels = filled(config.decoder_hidden_size), config.num_labels
        self.input_projection = nn.Linear(config.hidden_size, width)
        self.class_embeddings = nn.Parameter(torch.zeros(1, num_labels, width))
        self.layers = nn.ModuleList(mask_transformer_layer(config, i) for i in range(config.decoder_num_layers))
        self.norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        # Multiplied from the right, as in the original: rows are inputs.
        self.patch_projection = nn.Parameter(torch.zeros(width, width))
        self.class_projection = nn.Parameter(torch.zeros(width, width))
        self.mask_norm = nn.LayerNorm(num_labels, eps=LAYER_NORM_EPS)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if module is self:
            initialization.trunc_normal_(module.class_embeddings, std=self.config.initializer_range)
            for projection in (module.patch_projection, module.class_projection):
                initialization.normal_(projection, std=len(projection) ** -0.5)

    @merge_with_config_defaults
    @capture_outputs
    def forward(
        self,
        feature_maps: Sequence[torch.Tensor],
        size: tuple[int, int],
        labels: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> DecoderOutput:
        """As every decoder's, see `segvit_hf.models.decoder`."""
        masks = self.similarities(feature_maps[-1], **kwargs)
        return segmenter_output(self.config, masks, size, labels)

    def similarities(self, feature_map: torch.Tensor, **kwargs: Unpack[TransformersKwargs]) -> torch.Tensor:
        """Cosine similarities of patches and classes, normalized over classes.

        Args:
            feature_map: (batch, hidden_size, rows, columns).
            **kwargs: Passed to the layers.

        Returns:
            (batch, num_labels, rows, columns).
        """
        grid = feature_map.shape[-2:]
        patches = self.input_projection(feature_map.flatten(2).transpose(1, 2))
        hidden_states = torch.cat([patches, self.class_embeddings.expand(len(patches), -1, -1)], dim=1)
        for layer in self.layers:
            hidden_states = layer(hidden_states, **kwargs)
        patches, classes = self.norm(hidden_states).split([grid.numel(), self.config.num_labels], dim=1)
        patches = F.normalize(patches @ self.patch_projection, dim=-1)
        classes = F.normalize(classes @ self.class_projection, dim=-1)
        masks = self.mask_norm(patches @ classes.transpose(1, 2))
        return masks.transpose(1, 2).unflatten(2, grid)


def mask_transformer_layer(config: SegmenterConfig, index: int) -> TransformerLayer:
    """The mask transformer's layer number `index`.

    Plain attention and no layer scale, whatever the encoder's are. `qkv_bias`, `hidden_act` and
    `drop_path_on_attention` hold for encoder and decoder alike.
    """
    width, dropout = filled(config.decoder_hidden_size), config.decoder_dropout
    attention = MultiHeadAttention(
        config,
        hidden_size=width,
        num_heads=filled(config.decoder_num_attention_heads),
        qkv_bias=config.qkv_bias,
        dropout=dropout,
    )
    mlp = Mlp(
        hidden_size=width,
        intermediate_size=filled(config.decoder_intermediate_size),
        hidden_act=config.hidden_act,
        dropout=dropout,
    )
    drop_path = linear_drop_path(config.decoder_drop_path_rate, index, config.decoder_num_layers)
    return TransformerLayer(
        attention,
        mlp,
        hidden_size=width,
        layer_norm_eps=LAYER_NORM_EPS,
        dropout=dropout,
        attention_drop_path=drop_path if config.drop_path_on_attention else 0.0,
        mlp_drop_path=drop_path,
    )


class SegmenterForSemanticSegmentation(SemanticSegmentationModel):
    """Segmenter: a plain ViT and a linear or mask-transformer decoder."""

    config: SegmenterConfig
    decoder_classes = {"linear": SegmenterLinearDecoder, "mask_transformer": SegmenterMaskTransformer}


__all__ = ["SegmenterForSemanticSegmentation", "SegmenterMaskTransformer"]
