"""Mask2Former's decoder (Cheng et al., 2022): queries that look only where their previous mask was, and predict anew.

Follows Mask2FormerHead of https://github.com/czczup/ViT-Adapter (segmentation code).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from segvit_hf._compat import GradientCheckpointingLayer, TransformersKwargs, Unpack
from segvit_hf.encoders.configuration_vit_adapter import SIZE_DIVISOR
from segvit_hf.layers.attention import Attention
from segvit_hf.layers.mlp import Mlp
from segvit_hf.layers.resize import Grid, pad_to_multiple, resize_bilinear, resize_padded
from segvit_hf.models.decoder import LAYER_NORM_EPS, DecoderOutput
from segvit_hf.models.mask_classification import semantic_inference
from segvit_hf.models.vit_adapter.configuration_vit_adapter import VitAdapterConfig
from segvit_hf.models.vit_adapter.loss_mask2former import Mask2FormerLoss, Prediction
from segvit_hf.models.vit_adapter.pixel_decoder import NUM_LEVELS, PixelDecoder, sine_position_embeddings


class Mask2FormerAttention(Attention):
    """Multi-head attention whose queries, keys and values are different tensors, through one fused projection."""

    def __init__(self, config: VitAdapterConfig) -> None:
        super().__init__(config, num_heads=config.decoder_num_attention_heads)
        width = config.decoder_hidden_size
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(
        self,
        queries: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Attends where the mask lets it.

        Args:
            queries: (batch, num_queries, hidden_size).
            keys: (batch, num_keys, hidden_size).
            values: (batch, num_keys, hidden_size).
            attention_mask: Added to the logits, (batch, 1, num_queries, num_keys).

        Returns:
            (batch, num_queries, hidden_size).
        """
        query, key, value = (
            F.linear(tokens, weight, bias)
            for tokens, weight, bias in zip(
                (queries, keys, values), self.qkv.weight.chunk(3), self.qkv.bias.chunk(3), strict=True
            )
        )
        return self.proj(self.attend(query, key, value, attention_mask)[0])


class MaskedAttentionLayer(GradientCheckpointingLayer):
    """Post-norm layer: masked cross attention, self attention, feed-forward."""

    def __init__(self, config: VitAdapterConfig) -> None:
        super().__init__()
        width = config.decoder_hidden_size
        self.cross_attention = Mask2FormerAttention(config)
        self.norm1 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.self_attention = Mask2FormerAttention(config)
        self.norm2 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.mlp = Mlp(
            hidden_size=width, intermediate_size=config.decoder_intermediate_size, hidden_act="relu", dropout=0.0
        )
        self.norm3 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)

    def forward(
        self,
        queries: torch.Tensor,
        query_positions: torch.Tensor,
        memory: torch.Tensor,
        memory_positions: torch.Tensor,
        attention_mask: torch.Tensor,
    ) -> torch.Tensor:
        """Reads the memory, exchanges among queries, and feeds forward.

        Args:
            queries: (batch, num_queries, hidden_size).
            query_positions: (1, num_queries, hidden_size).
            memory: (batch, num_tokens, hidden_size).
            memory_positions: (1, num_tokens, hidden_size).
            attention_mask: Added to the logits, (batch, 1, num_queries, num_tokens).

        Returns:
            Updated queries.
        """
        attended = self.cross_attention(queries + query_positions, memory + memory_positions, memory, attention_mask)
        queries = self.norm1(queries + attended)
        placed = queries + query_positions
        queries = self.norm2(queries + self.self_attention(placed, placed, queries))
        return self.norm3(queries + self.mlp(queries))


class Mask2FormerDecoder(nn.Module):
    """Pixel decoder, queries, and a class and a mask for every query, before the first layer and after each."""

    def __init__(self, config: VitAdapterConfig) -> None:
        super().__init__()
        self.config = config
        width = config.decoder_hidden_size
        self.pixel_decoder = PixelDecoder(config)
        self.query_features = nn.Embedding(config.num_queries, width)
        self.query_positions = nn.Embedding(config.num_queries, width)
        self.level_embeddings = nn.Embedding(NUM_LEVELS, width)
        self.layers = nn.ModuleList(MaskedAttentionLayer(config) for _ in range(config.decoder_num_layers))
        self.norm = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.class_head = nn.Linear(width, config.num_labels + 1)
        self.mask_head = nn.ModuleList(
            [
                nn.Linear(width, width),
                nn.Linear(width, width),
                nn.Linear(width, config.mask_feature_size or width),
            ]
        )
        self.loss = Mask2FormerLoss(config)

    def forward(
        self,
        feature_maps: Sequence[torch.Tensor],
        size: tuple[int, int],
        labels: torch.Tensor | None = None,
        **_kwargs: Unpack[TransformersKwargs],
    ) -> DecoderOutput:
        """As every decoder's, see `segvit_hf.models.decoder`."""
        predictions = self.predict(feature_maps, return_auxiliary=labels is not None)
        losses = None
        if labels is not None:
            # Masks are predicted for the padded input, so the labels are padded too.
            ignore_index = self.config.semantic_loss_ignore_index
            losses = self.loss(predictions, pad_to_multiple(labels, SIZE_DIVISOR, value=ignore_index))
        return DecoderOutput(logits=self.scores(predictions[-1], size), losses=losses)

    def scores(self, prediction: Prediction, size: tuple[int, int]) -> torch.Tensor:
        """Scores (batch, num_labels, height, width) of every class at every pixel of an input of `size`."""
        class_logits, mask_logits = prediction
        if self.config.resize_mask_logits:
            return semantic_inference(class_logits, resize_padded(mask_logits, size, SIZE_DIVISOR))
        return resize_padded(semantic_inference(class_logits, mask_logits), size, SIZE_DIVISOR)

    def predict(self, feature_maps: Sequence[torch.Tensor], return_auxiliary: bool = False) -> list[Prediction]:
        """Classes and masks of all queries.

        Args:
            feature_maps: Four maps (batch, hidden_size, rows, columns), finest first.
            return_auxiliary: Whether all predictions are wanted, for the loss, or the last one only.

        Returns:
            Class logits (batch, num_queries, num_labels + 1), the last being no object, and mask logits (batch,
            num_queries, rows, columns) at the finest map's size.
        """
        mask_features, memories = self.pixel_decoder(feature_maps)
        grids: list[Grid] = [(memory.shape[-2], memory.shape[-1]) for memory in memories]
        positions = [
            sine_position_embeddings(grid, memory.shape[1], memory.device).to(memory.dtype)[None]
            for grid, memory in zip(grids, memories, strict=True)
        ]
        tokens = [
            memory.flatten(2).transpose(1, 2) + embedding
            for memory, embedding in zip(memories, self.level_embeddings.weight, strict=True)
        ]
        batch_size = len(mask_features)
        queries = self.query_features.weight.expand(batch_size, -1, -1)
        query_positions = self.query_positions.weight[None]
        predictions = []
        normalized = self.norm(queries)
        mask_logits = self.predict_masks(normalized, mask_features)
        if return_auxiliary:
            predictions.append((self.class_head(normalized), mask_logits))
        for index, layer in enumerate(self.layers):
            level = index % NUM_LEVELS
            attention_mask = attention_mask_from(mask_logits, grids[level])
            queries = layer(queries, query_positions, tokens[level], positions[level], attention_mask)
            normalized = self.norm(queries)
            mask_logits = self.predict_masks(normalized, mask_features)
            if return_auxiliary or index == len(self.layers) - 1:
                predictions.append((self.class_head(normalized), mask_logits))
        return predictions

    def predict_masks(self, queries: torch.Tensor, mask_features: torch.Tensor) -> torch.Tensor:
        """Normalized queries (batch, num_queries, hidden_size) -> mask logits (batch, num_queries, rows, columns)."""
        first, second, last = self.mask_head
        embeddings = last(F.relu(second(F.relu(first(queries)))))
        return torch.einsum("bqc,bchw->bqhw", embeddings, mask_features)


@torch.no_grad()
def attention_mask_from(mask_logits: torch.Tensor, grid: Grid) -> torch.Tensor:
    """What hides from each query the tokens outside its mask; a query whose mask is empty sees everything.

    Args:
        mask_logits: (batch, num_queries, rows, columns).
        grid: Rows and columns of the tokens.

    Returns:
        (batch, 1, num_queries, num_tokens): 0 or minus infinity, in the dtype that was given.
    """
    resized = resize_bilinear(mask_logits, grid).flatten(2)
    # Of the probability: logits so close to 0 that it is 0.5 hide nothing.
    hidden = resized.float().sigmoid() < 0.5
    hidden = hidden & ~hidden.all(-1, keepdim=True)
    return torch.zeros_like(resized).masked_fill(hidden, float("-inf"))[:, None]


__all__ = ["Mask2FormerDecoder"]
