"""Segmenter: transformer for semantic segmentation (Strudel et al., ICCV 2021).

The scalar product between class embeddings and patches, after both went through a few joint transformer layers, is the
segmentation mask; the simpler variant classifies every patch with a linear layer. Follows Segmenter, MaskTransformer
and DecoderLinear of https://github.com/rstrudel/segmenter.
"""

from collections.abc import Sequence
from typing import cast

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
from segvit_hf.layers.resize import resize_padded, tokens_of
from segvit_hf.layers.transformer import TransformerLayer
from segvit_hf.models.class_groups import ClassGroupsModel, class_ranges
from segvit_hf.models.configuration import filled
from segvit_hf.models.decoder import LAYER_NORM_EPS, DecoderOutput
from segvit_hf.models.losses import cross_entropy
from segvit_hf.models.segmenter.configuration_segmenter import SegmenterConfig

# What copies of the mask transformer are made of.
_LAYER_PARTS = ("input_projection.", "layers.", "norm.", "patch_projection", "class_projection")


def segmenter_output(
    config: SegmenterConfig,
    groups: Sequence[torch.Tensor],
    size: tuple[int, int],
    labels: torch.Tensor | None,
) -> DecoderOutput:
    """What both decoders return.

    The loss is that of the original's train_one_epoch: the mean over the pixels that have a class.

    Args:
        config: Says how logits get the input's size, and gives the ignore index.
        groups: For each group of classes, logits (batch, num_classes, rows, columns), one for every patch.
        size: (height, width) of the input.
        labels: (batch, height, width), int64.
    """
    # One by one: how a resize rounds depends on the memory layout, which the number of classes has a part in.
    resized = [resize_padded(logits, size, config.crop_divisor) for logits in groups]
    logits = resized[0] if len(resized) == 1 else torch.cat(resized, dim=1)
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
        return segmenter_output(self.config, [logits], size, labels)


class SegmenterClassGroup(nn.Module):
    """Classes that a later step has added: their embeddings and norm, and a mask transformer of their own.

    Args:
        config: Gives the sizes.
        num_classes: Number of classes of the group.
    """

    def __init__(self, config: SegmenterConfig, num_classes: int) -> None:
        super().__init__()
        width = filled(config.decoder_hidden_size)
        self.class_embeddings = nn.Parameter(torch.zeros(1, num_classes, width))
        self.mask_norm = nn.LayerNorm(num_classes, eps=LAYER_NORM_EPS)
        self.has_layers = not config.share_decoder
        if self.has_layers:
            self.input_projection = nn.Linear(config.hidden_size, width)
            self.layers = nn.ModuleList(mask_transformer_layer(config, i) for i in range(config.decoder_num_layers))
            self.norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
            self.patch_projection = nn.Parameter(torch.zeros(width, width))
            self.class_projection = nn.Parameter(torch.zeros(width, width))


class SegmenterMaskTransformer(ViTPreTrainedModel):
    """Compares every patch with one embedding per class, after joint transformer layers.

    Its attentions are those of the patches, row by row, then of the class embeddings: (batch, num_heads, num_tokens,
    num_tokens) for every layer. Patches attend to class embeddings, so each group of classes that a later step has
    added passes the layers with the patches by itself, and its attentions follow those of the groups before it.
    """

    config: SegmenterConfig
    main_input_name = "feature_maps"
    _no_split_modules = ["TransformerLayer"]
    _can_record_outputs = {"attentions": Attention}

    def __init__(self, config: SegmenterConfig) -> None:
        super().__init__(config)
        width = filled(config.decoder_hidden_size)
        num_labels, *added = (len(classes) for classes in class_ranges(config))
        self.input_projection = nn.Linear(config.hidden_size, width)
        self.class_embeddings = nn.Parameter(torch.zeros(1, num_labels, width))
        self.layers = nn.ModuleList(mask_transformer_layer(config, i) for i in range(config.decoder_num_layers))
        self.norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        # Multiplied from the right, as in the original: rows are inputs.
        self.patch_projection = nn.Parameter(torch.zeros(width, width))
        self.class_projection = nn.Parameter(torch.zeros(width, width))
        self.mask_norm = nn.LayerNorm(num_labels, eps=LAYER_NORM_EPS)
        self.added_groups = nn.ModuleList(SegmenterClassGroup(config, count) for count in added)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, (SegmenterMaskTransformer, SegmenterClassGroup)):
            initialize_embeddings(module, self.config)

    def add_group(self) -> SegmenterClassGroup:
        """Appends the group of the last step of the configuration, its weights still to be initialized."""
        self.added_groups.append(SegmenterClassGroup(self.config, self.config.added_class_counts[-1]))
        return self.newest_group()

    def newest_group(self) -> SegmenterClassGroup:
        """The group of the last step that has added classes."""
        return cast(SegmenterClassGroup, self.added_groups[-1])

    def copy_newest_layers(self) -> None:
        """Starts the newest group from the mask transformer of the one before it."""
        before, newest = (self, *self.added_groups)[-2:]
        if newest.has_layers:
            weights = {name: value for name, value in before.state_dict().items() if name.startswith(_LAYER_PARTS)}
            newest.load_state_dict(weights, strict=False)

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
        groups = (None, *self.added_groups)
        masks = [self.similarities(feature_maps[-1], group, **kwargs) for group in groups]
        return segmenter_output(self.config, masks, size, labels)

    def similarities(
        self,
        feature_map: torch.Tensor,
        group: SegmenterClassGroup | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> torch.Tensor:
        """Cosine similarities of patches and a group's classes, normalized over these classes.

        Args:
            feature_map: (batch, hidden_size, rows, columns).
            group: One of `added_groups`; by default the first step's classes.
            **kwargs: Passed to the layers.

        Returns:
            (batch, num_classes, rows, columns).
        """
        grid = feature_map.shape[-2:]
        classes_of = group or self
        owner = classes_of if hasattr(classes_of, "layers") else self
        patches = owner.input_projection(tokens_of(feature_map))
        hidden_states = torch.cat([patches, classes_of.class_embeddings.expand(len(patches), -1, -1)], dim=1)
        for layer in owner.layers:
            hidden_states = layer(hidden_states, **kwargs)
        num_classes = classes_of.class_embeddings.shape[1]
        patches, classes = owner.norm(hidden_states).split([grid.numel(), num_classes], dim=1)
        patches = F.normalize(projected(patches, owner.patch_projection), dim=-1)
        classes = F.normalize(projected(classes, owner.class_projection), dim=-1)
        masks = classes_of.mask_norm(patches @ classes.transpose(1, 2))
        return masks.transpose(1, 2).unflatten(2, grid)


def projected(tokens: torch.Tensor, projection: torch.Tensor) -> torch.Tensor:
    """(batch, num_tokens, width) @ (width, width), as one product whether or not the projection is trained.

    `torch.matmul` itself makes one product or one an image, and rounds otherwise, by `requires_grad` among others.
    """
    return (tokens.flatten(0, 1) @ projection).unflatten(0, tokens.shape[:2])


def initialize_embeddings(module: SegmenterMaskTransformer | SegmenterClassGroup, config: SegmenterConfig) -> None:
    """Gives class embeddings, and projections where the module has them, the original's initial values."""
    initialization.trunc_normal_(module.class_embeddings, std=config.initializer_range)
    if hasattr(module, "patch_projection"):
        for projection in (module.patch_projection, module.class_projection):
            initialization.normal_(projection, std=len(projection) ** -0.5)


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


class SegmenterForSemanticSegmentation(ClassGroupsModel):
    """Segmenter: a plain ViT and a linear or mask-transformer decoder.

    Classes can be added to the mask transformer only, and at least two at a time: its logits are normalized over the
    classes of a group. A patch therefore always has a class of each group that stands out, whether or not it is there.
    """

    config: SegmenterConfig
    smallest_group = 2
    decoder_classes = {"linear": SegmenterLinearDecoder, "mask_transformer": SegmenterMaskTransformer}


__all__ = ["SegmenterForSemanticSegmentation", "SegmenterMaskTransformer"]
