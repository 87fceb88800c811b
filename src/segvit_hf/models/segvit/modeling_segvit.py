"""SegViT: semantic segmentation with plain vision transformers (Zhang et al., NeurIPS 2022).

The similarity between learned class queries and the image's tokens, computed inside cross attention, is the
segmentation mask. Follows ATMHead, ATMSingleHead and TPNATMHead of https://github.com/zbwxp/SegVit, for patch grids of
any size and shape.
"""

from collections.abc import Sequence

import torch
from torch import nn

from segvit_hf._compat import GradientCheckpointingLayer, TransformersKwargs, Unpack, initialization
from segvit_hf.layers.attention import Attention, MultiHeadAttention
from segvit_hf.layers.mlp import Mlp
from segvit_hf.layers.resize import Grid, resize_bilinear, resize_padded
from segvit_hf.models.decoder import LAYER_NORM_EPS, DecoderOutput
from segvit_hf.models.mask_classification import semantic_inference
from segvit_hf.models.segvit.configuration_segvit import SegVitConfig
from segvit_hf.models.segvit.loss_segvit import Prediction, segvit_losses
from segvit_hf.models.semantic_segmentation import SemanticSegmentationModel


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

    With `attends_to_masks` the cross attention is the attention-to-mask one, else (token pyramid) a plain one.
    """

    def __init__(self, config: SegVitConfig, *, attends_to_masks: bool) -> None:
        super().__init__()
        width, dropout = config.decoder_hidden_size, config.decoder_dropout
        num_heads = config.decoder_num_attention_heads
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


class SegVitAtmDecoder(nn.Module):
    """Attention-to-mask decoder: class queries cascade over feature maps, deepest first; masks add up over stages.

    Over the token pyramid (Shrunk) it has a single stage instead, without an input projection, and gives every layer's
    own mask.

    Args:
        config: Gives sizes, the stages and the losses.
        on_token_pyramid: Whether the one feature map is the token pyramid's.
    """

    def __init__(self, config: SegVitConfig, *, on_token_pyramid: bool = False) -> None:
        super().__init__()
        self.config = config
        self.output_every_layer = on_token_pyramid
        self.class_queries = nn.Embedding(config.num_labels, config.decoder_hidden_size)
        self.stages = nn.ModuleList(
            SegVitDecoderStage(
                config,
                attends_to_masks=True,
                use_input_projection=config.use_input_projection and not on_token_pyramid,
            )
            for _ in range(1 if on_token_pyramid else config.num_decoder_stages)
        )
        self.class_head = nn.Linear(config.decoder_hidden_size, config.num_labels + 1)

    def forward(
        self,
        feature_maps: Sequence[torch.Tensor],
        size: tuple[int, int],
        labels: torch.Tensor | None = None,
        **_kwargs: Unpack[TransformersKwargs],
    ) -> DecoderOutput:
        """As every decoder's, see `segvit_hf.models.decoder`."""
        predictions = self.predict(feature_maps, return_auxiliary=labels is not None)
        class_logits, mask_logits = predictions[-1]
        # Scores are made at `mask_size` pixels on the shorter side; a square grid gives a square, as in the original.
        shorter = min(mask_logits.shape[-2:])
        mask_size = [round(self.config.mask_side * side / shorter) for side in mask_logits.shape[-2:]]
        scores = semantic_inference(class_logits, resize_bilinear(mask_logits, mask_size))
        return DecoderOutput(
            logits=resize_padded(scores, size, self.config.crop_divisor),
            losses=None if labels is None else segvit_losses(self.config, predictions, labels),
        )

    def predict(self, feature_maps: Sequence[torch.Tensor], return_auxiliary: bool = False) -> list[Prediction]:
        """Classes and masks of the stages, or of the layers of a single stage over the token pyramid.

        Args:
            feature_maps: (batch, hidden_size, rows, columns) each, shallow first.
            return_auxiliary: Whether all predictions are wanted, for the loss, or the last one only.

        Returns:
            Class logits (batch, num_labels, num_labels + 1) and mask logits (batch, num_labels, rows, columns).
        """
        stage_inputs = feature_maps[: len(self.stages)][::-1]
        last_layer = self.config.decoder_num_layers - 1
        masks_of = range(last_layer + 1) if self.output_every_layer and return_auxiliary else [last_layer]
        queries = self.class_queries.weight.expand(len(feature_maps[0]), -1, -1)
        outputs: list[tuple[torch.Tensor, torch.Tensor]] = []
        accumulated: torch.Tensor | None = None
        for stage, feature_map in zip(self.stages, stage_inputs, strict=True):
            layer_outputs = stage(queries, feature_map.flatten(2).transpose(1, 2), masks_of)
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
        return [(self.class_head(layer_queries), masks) for layer_queries, masks in outputs]


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

    def token_pyramid(self, feature_maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Feature maps -> one map (batch, decoder_hidden_size, rows, columns), whatever the input's size."""
        queries = self.token_queries.weight.expand(len(feature_maps[0]), -1, -1)
        for stage, feature_map in zip(self.stages, feature_maps, strict=False):
            queries, _ = stage(queries, feature_map.flatten(2).transpose(1, 2))[-1]
        return queries.transpose(1, 2).unflatten(2, self.grid)


class SegVitForSemanticSegmentation(SemanticSegmentationModel):
    """SegViT: a plain ViT and the attention-to-mask decoder, or the Shrunk form of both."""

    config: SegVitConfig
    decoder_classes = {"atm": SegVitAtmDecoder, "shrunk": SegVitShrunkDecoder}
    _no_split_modules = ["SegVitDecoderLayer"]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Embedding):  # class and token queries: torch's own default, as in the original
            initialization.normal_(module.weight)


__all__ = ["SegVitForSemanticSegmentation"]
