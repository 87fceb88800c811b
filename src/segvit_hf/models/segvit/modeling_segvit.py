"""SegViT: semantic segmentation with plain vision transformers (Zhang et al., NeurIPS 2022).

The similarity between learned class queries and the image's tokens, computed inside cross attention, is the
segmentation mask. Follows ATMHead, ATMSingleHead and TPNATMHead of https://github.com/zbwxp/SegVit, for patch grids of
any size and shape.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from segvit_hf._compat import GradientCheckpointingLayer, TransformersKwargs, Unpack, initialization
from segvit_hf.encoders.vit import FeedForward, ViTEncoder
from segvit_hf.layers.attention import MultiHeadAttention, attend
from segvit_hf.models.segvit.configuration_segvit import SegVitConfig
from segvit_hf.models.segvit.loss_segvit import SegVitLoss
from segvit_hf.models.semantic_segmentation import SemanticSegmentationModel, SemanticSegmentationOutput

Grid = tuple[int, int]
LAYER_NORM_EPS = 1e-5  # of the decoder; the encoder's is a field of the configuration


class SegVitMaskAttention(nn.Module):
    """Cross attention of class queries over image tokens whose logits, averaged over heads, are the masks."""

    is_causal = False

    def __init__(self, config: SegVitConfig) -> None:
        super().__init__()
        self.config = config
        self.num_heads = config.decoder_num_attention_heads
        self.query = nn.Linear(config.decoder_hidden_size, config.decoder_hidden_size)
        self.key = nn.Linear(config.decoder_hidden_size, config.decoder_hidden_size)
        self.value = nn.Linear(config.decoder_hidden_size, config.decoder_hidden_size)
        self.proj = nn.Linear(config.decoder_hidden_size, config.decoder_hidden_size)

    def forward(
        self, queries: torch.Tensor, tokens: torch.Tensor, return_masks: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Args:
            queries: (batch, num_labels, hidden_size).
            tokens: (batch, num_tokens, hidden_size).

        Returns:
            Updated queries, and mask logits (batch, num_labels, num_tokens) when they are asked for.
        """
        query, key, value = self.query(queries), self.key(tokens), self.value(tokens)
        output, _ = attend(
            self,
            self.config,
            query,
            key,
            value,
            num_heads=self.num_heads,
            dropout=self.config.decoder_dropout,
        )
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
        self.mlp = FeedForward(
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
        """Args:
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

    A single stage over the token pyramid (Shrunk) instead gives every layer's own mask.
    """

    def __init__(
        self, config: SegVitConfig, *, num_stages: int, use_input_projection: bool, output_every_layer: bool = False
    ) -> None:
        super().__init__()
        self.config = config
        self.output_every_layer = output_every_layer
        self.class_queries = nn.Embedding(config.num_labels, config.decoder_hidden_size)
        self.stages = nn.ModuleList(
            SegVitDecoderStage(config, attends_to_masks=True, use_input_projection=use_input_projection)
            for _ in range(num_stages)
        )
        self.class_head = nn.Linear(config.decoder_hidden_size, config.num_labels + 1)

    def forward(
        self,
        tokens: Sequence[torch.Tensor],
        grids: Sequence[Grid],
        return_auxiliary: bool = False,
        kept_tokens: torch.Tensor | None = None,
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Args:
            tokens: Feature maps as (batch, rows * columns, hidden_size), shallow first.
            grids: Their (rows, columns).
            return_auxiliary: Whether all outputs are wanted, for the loss, or the prediction only.
            kept_tokens: Row-major indices of the tokens that `tokens` holds when training on a part of the patches:
                masks are zero elsewhere (the original's crop_train).

        Returns:
            Class logits (batch, num_labels, num_labels + 1) and mask logits (batch, num_labels, rows, columns) of
            every output, the prediction last.
        """
        num_stages, last_layer = len(self.stages), self.config.decoder_num_layers - 1
        stage_inputs = list(zip(tokens, grids, strict=True))[:num_stages][::-1]
        final_grid = stage_inputs[-1][1]
        masks_of = range(last_layer + 1) if self.output_every_layer and return_auxiliary else [last_layer]
        queries = self.class_queries.weight.expand(len(tokens[0]), -1, -1)
        outputs: list[tuple[torch.Tensor, torch.Tensor]] = []
        accumulated: torch.Tensor | None = None
        for stage, (stage_tokens, grid) in zip(self.stages, stage_inputs, strict=True):
            layer_outputs = stage(queries, stage_tokens, masks_of)
            queries = layer_outputs[-1][0]
            for layer_queries, masks in layer_outputs:
                if masks is None:
                    continue
                masks = self.masks_on_grid(masks, grid, kept_tokens)
                masks = F.interpolate(masks, size=final_grid, mode="bilinear", align_corners=False)
                if not self.output_every_layer:
                    masks = accumulated = masks if accumulated is None else accumulated + masks
                outputs.append((layer_queries, masks))
        if not return_auxiliary:
            outputs = outputs[-1:]
        return [(self.class_head(layer_queries), masks) for layer_queries, masks in outputs]

    @staticmethod
    def masks_on_grid(masks: torch.Tensor, grid: Grid, kept_tokens: torch.Tensor | None) -> torch.Tensor:
        """(batch, num_labels, num_tokens) -> (batch, num_labels, rows, columns)."""
        if kept_tokens is not None:
            complete = masks.new_zeros(*masks.shape[:2], grid[0] * grid[1])
            complete[:, :, kept_tokens] = masks
            masks = complete
        return masks.unflatten(2, grid)


class SegVitShrunkDecoder(nn.Module):
    """Query-based up-sampling before attention-to-mask: one learned query per patch of `mask_size` reads the feature
    maps, shallow to deep, and so restores the grid that the Shrunk encoder gave up.
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
        self.atm = SegVitAtmDecoder(config, num_stages=1, use_input_projection=False, output_every_layer=True)

    def forward(
        self, tokens: Sequence[torch.Tensor], grids: Sequence[Grid], return_auxiliary: bool = False
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """As `SegVitAtmDecoder.forward`, but the masks' grid is that of `mask_size`, whatever the input's size."""
        queries = self.token_queries.weight.expand(len(tokens[0]), -1, -1)
        for stage, stage_tokens in zip(self.stages, tokens, strict=False):
            queries, _ = stage(queries, stage_tokens)[-1]
        return self.atm([queries], [self.grid], return_auxiliary)


def class_mask_scores(class_logits: torch.Tensor, mask_logits: torch.Tensor, mask_size: int) -> torch.Tensor:
    """Scores `sum_q softmax(class logits)[q, c] * sigmoid(mask logits)[q]`, at `mask_size` pixels on the shorter side.

    Args:
        class_logits: (batch, num_queries, num_labels + 1), the last being no object.
        mask_logits: (batch, num_queries, rows, columns).

    Returns:
        (batch, num_labels, height, width); a square grid gives `mask_size` squared, as in the original.
    """
    shorter = min(mask_logits.shape[-2:])
    size = [round(mask_size * side / shorter) for side in mask_logits.shape[-2:]]
    masks = F.interpolate(mask_logits, size=size, mode="bilinear", align_corners=False).sigmoid()
    classes = class_logits.softmax(-1)[..., :-1]
    return torch.einsum("bqc,bqhw->bchw", classes, masks)


class SegVitForSemanticSegmentation(SemanticSegmentationModel):
    """SegViT: a plain ViT and the attention-to-mask decoder, or the Shrunk form of both."""

    config: SegVitConfig
    _no_split_modules = ["ViTEmbeddings", "ViTLayer", "SegVitDecoderLayer"]

    def __init__(self, config: SegVitConfig) -> None:
        super().__init__(config)
        self.encoder = ViTEncoder(config)
        self.decoder: SegVitAtmDecoder | SegVitShrunkDecoder
        if config.use_token_pyramid:
            self.decoder = SegVitShrunkDecoder(config)
        else:
            self.decoder = SegVitAtmDecoder(
                config, num_stages=config.num_decoder_stages, use_input_projection=config.use_input_projection
            )
        self.loss = SegVitLoss(config)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Linear):
            initialization.trunc_normal_(module.weight, std=self.config.initializer_range)
        elif isinstance(module, nn.Embedding):  # class and token queries: torch's own default, as in the original
            initialization.normal_(module.weight)

    def forward_whole(
        self, pixel_values: torch.Tensor, labels: torch.Tensor | None = None, **kwargs: Unpack[TransformersKwargs]
    ) -> SemanticSegmentationOutput:
        encoded = self.encoder(pixel_values, **kwargs)
        tokens = [feature_map.flatten(2).transpose(1, 2) for feature_map in encoded.feature_maps]
        grids = [tuple(feature_map.shape[-2:]) for feature_map in encoded.feature_maps]
        outputs = self.decoder(tokens, grids, return_auxiliary=labels is not None)
        losses = None if labels is None else self.loss(outputs, labels)
        class_logits, mask_logits = outputs[-1]
        scores = class_mask_scores(class_logits, mask_logits, self.config.mask_side)
        return SemanticSegmentationOutput(
            loss=None if losses is None else torch.stack(list(losses.values())).sum(),
            logits=F.interpolate(scores, size=pixel_values.shape[-2:], mode="bilinear", align_corners=False),
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
            losses=losses,
        )


__all__ = ["SegVitForSemanticSegmentation"]
