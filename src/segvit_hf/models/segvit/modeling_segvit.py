"""SegViT: semantic segmentation with plain vision transformers (Zhang et al., NeurIPS 2022), and SegViTv2 (2024).

The similarity between learned class queries and the image's tokens, computed inside cross attention, is the
segmentation mask. Follows ATMHead, ATMSingleHead and TPNATMHead of https://github.com/zbwxp/SegVit, and SegViTv2's
ATMHeadV2 of https://github.com/zbwxp/Dynamic-Token-Pruning, for patch grids of any size and shape.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import nn

from segvit_hf._compat import GradientCheckpointingLayer, TransformersKwargs, Unpack, initialization
from segvit_hf.encoders.edge_tokens import edge_loss
from segvit_hf.encoders.vit import ViTEncoderOutput
from segvit_hf.layers.attention import Attention, MultiHeadAttention
from segvit_hf.layers.mlp import Mlp
from segvit_hf.layers.resize import Grid, resize_bilinear, resize_padded, tokens_of
from segvit_hf.models.class_groups import ClassGroupsModel, class_ranges
from segvit_hf.models.decoder import LAYER_NORM_EPS, DecoderOutput
from segvit_hf.models.mask_classification import presence_inference, semantic_inference
from segvit_hf.models.segvit.configuration_segvit import SegVitConfig
from segvit_hf.models.segvit.loss_segvit import Prediction, segvit_losses


class SegVitMaskAttention(Attention):
    """Cross attention of class queries over image tokens whose logits, averaged over heads, are the masks."""

    def __init__(self, config: SegVitConfig) -> None:
        super().__init__(config, num_heads=config.decoder_num_attention_heads, dropout=config.decoder_dropout)
        self.query = nn.Linear(config.decoder_hidden_size, config.decoder_hidden_size)
        self.key = nn.Linear(config.decoder_hidden_size, config.decoder_hidden_size)
        self.value = nn.Linear(config.decoder_hidden_size, config.decoder_hidden_size)
        self.proj = nn.Linear(config.decoder_hidden_size, config.decoder_hidden_size)

    def forward(
        self, queries: torch.Tensor, tokens: torch.Tensor, return_masks: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Attends, and shows where to.

        Args:
            queries: (batch, num_labels, hidden_size).
            tokens: (batch, num_tokens, hidden_size).
            return_masks: Whether mask logits are wanted.

        Returns:
            Updated queries, and mask logits (batch, num_labels, num_tokens) when they are asked for.
        """
        query, key, value = self.query(queries), self.key(tokens), self.value(tokens)
        output, _ = self.attend(query, key, value)
        masks = None
        if return_masks:
            # The mean over heads of q.k / sqrt(head size) is one product over the full width.
            head_size = query.shape[-1] // self.num_heads
            masks = torch.matmul(query, key.transpose(1, 2)) * (head_size**-0.5 / self.num_heads)
        return self.proj(output), masks


class SegVitDecoderLayer(GradientCheckpointingLayer):
    """Post-norm transformer decoder layer: self attention, cross attention, feed-forward.

    With `attends_to_masks` the cross attention is the attention-to-mask one, else (token pyramid) a plain one. Class
    queries with a shared class head (SegViTv2) don't attend to each other.
    """

    def __init__(self, config: SegVitConfig, *, attends_to_masks: bool) -> None:
        super().__init__()
        width, dropout = config.decoder_hidden_size, config.decoder_dropout
        num_heads = config.decoder_num_attention_heads
        self.attends_to_queries = not (attends_to_masks and config.shared_class_head)
        if self.attends_to_queries:
            self.self_attention = MultiHeadAttention(config, hidden_size=width, num_heads=num_heads, dropout=dropout)
            self.norm1 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        if attends_to_masks:
            self.mask_attention = SegVitMaskAttention(config)
        else:
            self.cross_attention = MultiHeadAttention(config, hidden_size=width, num_heads=num_heads, dropout=dropout)
        self.norm2 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.mlp = Mlp(
            hidden_size=width,
            intermediate_size=config.decoder_intermediate_size or 4 * width,
            hidden_act="relu",
            dropout=dropout,
        )
        self.norm3 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.dropout = nn.Dropout(dropout)
        self.attends_to_masks = attends_to_masks

    def forward(
        self, queries: torch.Tensor, tokens: torch.Tensor, return_masks: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(batch, num_queries, hidden_size) and (batch, num_tokens, hidden_size) -> queries, mask logits or `None`."""
        if self.attends_to_queries:
            queries = self.norm1(queries + self.dropout(self.self_attention(queries)[0]))
        if self.attends_to_masks:
            attended, masks = self.mask_attention(queries, tokens, return_masks)
        else:
            attended, masks = self.cross_attention(tokens, queries)[0], None
        queries = self.norm2(queries + self.dropout(attended))
        return self.norm3(queries + self.mlp(queries)), masks


class SegVitDecoderStage(nn.Module):
    """Decoder layers over one feature map, which is projected and normalized first."""

    def __init__(self, config: SegVitConfig, *, attends_to_masks: bool, use_input_projection: bool) -> None:
        super().__init__()
        self.use_input_projection = use_input_projection
        if use_input_projection:
            self.input_projection = nn.Linear(config.hidden_size, config.decoder_hidden_size)
            self.input_norm = nn.LayerNorm(config.decoder_hidden_size, eps=LAYER_NORM_EPS)
        self.layers = nn.ModuleList(
            SegVitDecoderLayer(config, attends_to_masks=attends_to_masks) for _ in range(config.decoder_num_layers)
        )

    def forward(
        self, queries: torch.Tensor, tokens: torch.Tensor, masks_of: Sequence[int] = ()
    ) -> list[tuple[torch.Tensor, torch.Tensor | None]]:
        """Runs the layers.

        Args:
            queries: (batch, num_queries, decoder_hidden_size).
            tokens: (batch, num_tokens, hidden_size of the feature map).
            masks_of: Layers whose mask logits are wanted.

        Returns:
            Every layer's queries, and mask logits (batch, num_queries, num_tokens) or `None`.
        """
        if self.use_input_projection:
            tokens = self.input_norm(self.input_projection(tokens))
        outputs = []
        for index, layer in enumerate(self.layers):
            queries, masks = layer(queries, tokens, index in masks_of)
            outputs.append((queries, masks))
        return outputs


class SegVitClassGroup(nn.Module):
    """Classes that were learned in one step: their queries, the stages that these pass, and what classifies them.

    Args:
        config: Gives the sizes.
        num_classes: Number of classes of the group.
        on_token_pyramid: Whether the one feature map is the token pyramid's.
        shares_layers: Whether the group passes the stages of another one and, where it has no number of classes, is
            classified by that one's head.
    """

    def __init__(
        self, config: SegVitConfig, num_classes: int, *, on_token_pyramid: bool = False, shares_layers: bool = False
    ) -> None:
        super().__init__()
        self.class_queries = nn.Embedding(num_classes, config.decoder_hidden_size)
        if not shares_layers:
            self.stages = nn.ModuleList(
                SegVitDecoderStage(
                    config,
                    attends_to_masks=True,
                    use_input_projection=config.use_input_projection and not on_token_pyramid,
                )
                for _ in range(1 if on_token_pyramid else config.num_decoder_stages)
            )
        if not (shares_layers and config.shared_class_head):
            num_outcomes = 2 if config.shared_class_head else num_classes + 1
            self.class_head = nn.Linear(config.decoder_hidden_size, num_outcomes)


class SegVitAtmDecoder(SegVitClassGroup):
    """Attention-to-mask decoder: class queries cascade over feature maps, deepest first; masks add up over stages.

    Over the token pyramid (Shrunk) it has a single stage instead, without an input projection, and gives every layer's
    own mask. The first step's classes are its own; those of later steps (`add_classes`) are `added_groups`. Queries
    attend to their own group only, and scores are made group by group, so no class depends on another group's.

    Args:
        config: Gives sizes, the stages, the groups and the losses.
        on_token_pyramid: Whether the one feature map is the token pyramid's.
    """

    def __init__(self, config: SegVitConfig, *, on_token_pyramid: bool = False) -> None:
        first, *added = (len(classes) for classes in class_ranges(config))
        super().__init__(config, first, on_token_pyramid=on_token_pyramid)
        self.config = config
        self.output_every_layer = on_token_pyramid
        self.added_groups = nn.ModuleList(self._new_group(count) for count in added)

    def _new_group(self, num_classes: int) -> SegVitClassGroup:
        return SegVitClassGroup(
            self.config,
            num_classes,
            on_token_pyramid=self.output_every_layer,
            shares_layers=self.config.share_decoder,
        )

    def add_group(self) -> SegVitClassGroup:
        """Appends the group of the last step of the configuration, its weights still to be initialized."""
        self.added_groups.append(self._new_group(self.config.added_class_counts[-1]))
        return self.newest_group()

    def newest_group(self) -> SegVitClassGroup:
        """The group of the last step that has added classes."""
        return self.groups()[-1]

    def copy_newest_layers(self) -> None:
        """Starts the newest group from the layers of the one before it, and from its head where the head fits."""
        before, newest = self.groups()[-2:]
        if self.config.share_decoder:
            return
        newest.stages.load_state_dict(before.stages.state_dict())
        if self.config.shared_class_head:
            newest.class_head.load_state_dict(before.class_head.state_dict())

    def forward(
        self,
        feature_maps: Sequence[torch.Tensor],
        size: tuple[int, int],
        labels: torch.Tensor | None = None,
        **_kwargs: Unpack[TransformersKwargs],
    ) -> DecoderOutput:
        """As every decoder's, see `segvit_hf.models.decoder`."""
        groups = self.predict_groups(feature_maps, return_auxiliary=labels is not None)
        logits = [self._scores(*predictions[-1], size) for predictions in groups]
        return DecoderOutput(
            logits=logits[0] if len(logits) == 1 else torch.cat(logits, dim=1),
            losses=None if labels is None else segvit_losses(self.config, groups, labels),
            predictions=None if labels is None else groups,
        )

    def _scores(self, class_logits: torch.Tensor, mask_logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        # Scores are made at `mask_size` pixels on the shorter side; a square grid gives a square, as in the original.
        shorter = min(mask_logits.shape[-2:])
        mask_size = [round(self.config.mask_side * side / shorter) for side in mask_logits.shape[-2:]]
        infer = presence_inference if self.config.shared_class_head else semantic_inference
        scores = infer(class_logits, resize_bilinear(mask_logits, mask_size))
        return resize_padded(scores, size, self.config.crop_divisor)

    def predict_groups(
        self, feature_maps: Sequence[torch.Tensor], return_auxiliary: bool = False
    ) -> list[list[Prediction]]:
        """Classes and masks of each group of classes: of the stages, or of the layers over the token pyramid.

        Args:
            feature_maps: (batch, hidden_size, rows, columns) each, shallow first.
            return_auxiliary: Whether all predictions are wanted, for the loss, or the last one only.

        Returns:
            For each group and prediction, class logits (batch, num_classes, num_classes + 1), or
            (batch, num_classes, 2) with a shared class head, and mask logits (batch, num_classes, rows, columns).
        """
        return [self.predict(group, feature_maps, return_auxiliary) for group in self.groups()]

    def groups(self) -> tuple[SegVitClassGroup, ...]:
        """The groups of classes, in the order of the ids; the first is this decoder."""
        return (self, *(cast(SegVitClassGroup, group) for group in self.added_groups))

    def predict(
        self, group: SegVitClassGroup, feature_maps: Sequence[torch.Tensor], return_auxiliary: bool = False
    ) -> list[Prediction]:
        """`predict_groups` for one of `groups()`."""
        stages = getattr(group, "stages", self.stages)
        class_head = getattr(group, "class_head", self.class_head)
        stage_inputs = feature_maps[: len(stages)][::-1]
        last_layer = self.config.decoder_num_layers - 1
        masks_of = range(last_layer + 1) if self.output_every_layer and return_auxiliary else [last_layer]
        queries = group.class_queries.weight.expand(len(feature_maps[0]), -1, -1).contiguous()
        outputs: list[tuple[torch.Tensor, torch.Tensor]] = []
        accumulated: torch.Tensor | None = None
        for stage, feature_map in zip(stages, stage_inputs, strict=True):
            layer_outputs = stage(queries, tokens_of(feature_map), masks_of)
            queries = layer_outputs[-1][0]
            for layer_queries, masks in layer_outputs:
                if masks is None:
                    continue
                masks = resize_bilinear(masks.unflatten(2, feature_map.shape[-2:]), stage_inputs[-1].shape[-2:])
                if not self.output_every_layer:
                    masks = accumulated = masks if accumulated is None else accumulated + masks
                outputs.append((layer_queries, masks))
        if not return_auxiliary:
            outputs = outputs[-1:]
        return [(class_head(layer_queries), masks) for layer_queries, masks in outputs]


class SegVitShrunkDecoder(nn.Module):
    """Query-based up-sampling before attention-to-mask: learned queries restore the grid that Shrunk gave up.

    One query per patch of `mask_size` reads the feature maps, shallow to deep.
    """

    def __init__(self, config: SegVitConfig) -> None:
        super().__init__()
        rows = config.mask_side // config.token_pyramid_stride
        self.grid: Grid = (rows, rows)
        self.token_queries = nn.Embedding(rows * rows, config.decoder_hidden_size)
        self.stages = nn.ModuleList(
            SegVitDecoderStage(config, attends_to_masks=False, use_input_projection=config.use_input_projection)
            for _ in range(config.num_decoder_stages)
        )
        self.atm = SegVitAtmDecoder(config, on_token_pyramid=True)

    def forward(
        self,
        feature_maps: Sequence[torch.Tensor],
        size: tuple[int, int],
        labels: torch.Tensor | None = None,
        **_kwargs: Unpack[TransformersKwargs],
    ) -> DecoderOutput:
        """As every decoder's, see `segvit_hf.models.decoder`."""
        return self.atm([self.token_pyramid(feature_maps)], size, labels)

    def add_group(self) -> SegVitClassGroup:
        """As that of `SegVitAtmDecoder`."""
        return self.atm.add_group()

    def newest_group(self) -> SegVitClassGroup:
        """As that of `SegVitAtmDecoder`."""
        return self.atm.newest_group()

    def copy_newest_layers(self) -> None:
        """As that of `SegVitAtmDecoder`."""
        self.atm.copy_newest_layers()

    def token_pyramid(self, feature_maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Feature maps -> one map (batch, decoder_hidden_size, rows, columns), whatever the input's size."""
        queries = self.token_queries.weight.expand(len(feature_maps[0]), -1, -1).contiguous()
        for stage, feature_map in zip(self.stages, feature_maps, strict=False):
            queries, _ = stage(queries, tokens_of(feature_map))[-1]
        return queries.transpose(1, 2).unflatten(2, self.grid)


class SegVitForSemanticSegmentation(ClassGroupsModel):
    """SegViT: a plain ViT or BEiT and the attention-to-mask decoder, or the Shrunk form of ViT and decoder."""

    config: SegVitConfig
    decoder_classes = {"atm": SegVitAtmDecoder, "shrunk": SegVitShrunkDecoder}
    _no_split_modules = ["SegVitDecoderLayer"]

    def encoder_losses(self, encoded: ViTEncoderOutput, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        """That of the edges, where the encoder keeps tokens at them."""
        if encoded.edge_logits is None:
            return {}
        config = self.config
        loss = edge_loss(encoded.edge_logits, labels, config.patch_size, config.semantic_loss_ignore_index)
        return {"loss_edge": config.edge_loss_weight * loss}

    def extend_decoder(self) -> None:
        """The group of a new step; the class loss looks at its classes alone."""
        super().extend_decoder()
        self.config.first_supervised_class = class_ranges(self.config)[-1].start

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Embedding):  # class and token queries: torch's own default, as in the original
            initialization.normal_(module.weight)


__all__ = ["SegVitAtmDecoder", "SegVitForSemanticSegmentation"]
