"""Mask2Former's pixel decoder: deformable attention over three feature maps, then a pyramid step to the finest one.

Follows MSDeformAttnPixelDecoder of mmdetection 2.x, which Mask2Former (Cheng et al., 2022) describes.
"""

import math
from collections.abc import Sequence

import torch
from torch import nn

from segvit_hf._compat import GradientCheckpointingLayer
from segvit_hf.encoders.configuration_vit_adapter import NUM_FEATURE_MAPS
from segvit_hf.layers.convolution import ConvNormAct
from segvit_hf.layers.deformable_attention import (
    MultiScaleDeformableAttention,
    SamplingGeometry,
    sampling_geometry,
)
from segvit_hf.layers.mlp import Mlp
from segvit_hf.layers.resize import Grid, resize_bilinear
from segvit_hf.models.decoder import LAYER_NORM_EPS
from segvit_hf.models.vit_adapter.configuration_vit_adapter import VitAdapterConfig

NUM_LEVELS = NUM_FEATURE_MAPS - 1
NUM_GROUPS = 32  # of group normalization


def sine_position_embeddings(grid: Grid, hidden_size: int, device: torch.device) -> torch.Tensor:
    """DETR's normalized sine and cosine embeddings.

    Args:
        grid: Rows and columns.
        hidden_size: Channels, a multiple of 4.
        device: Where they are made.

    Returns:
        (rows * columns, hidden_size) float32: the vertical position in the first half, the horizontal in the second.
    """
    half = hidden_size // 2
    frequencies = 10000 ** (2 * (torch.arange(half, dtype=torch.float32, device=device) // 2) / half)

    def encode(side: int) -> torch.Tensor:
        positions = torch.arange(1, side + 1, dtype=torch.float32, device=device) / (side + 1e-6) * (2 * math.pi)
        angles = positions[:, None] / frequencies
        return torch.stack([angles[:, 0::2].sin(), angles[:, 1::2].cos()], dim=-1).flatten(1)

    rows, columns = grid
    vertical = encode(rows)[:, None].expand(-1, columns, -1)
    horizontal = encode(columns)[None].expand(rows, -1, -1)
    return torch.cat([vertical, horizontal], dim=-1).flatten(0, 1)


class PixelDecoderLayer(GradientCheckpointingLayer):
    """Post-norm layer: deformable self attention over all levels, feed-forward."""

    def __init__(self, config: VitAdapterConfig) -> None:
        super().__init__()
        width = config.decoder_hidden_size
        self.attention = MultiScaleDeformableAttention(
            hidden_size=width,
            num_heads=config.pixel_decoder_num_attention_heads,
            num_levels=NUM_LEVELS,
            num_points=config.pixel_decoder_num_points,
        )
        self.norm1 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)
        self.mlp = Mlp(
            hidden_size=width, intermediate_size=config.pixel_decoder_intermediate_size, hidden_act="relu", dropout=0.0
        )
        self.norm2 = nn.LayerNorm(width, eps=LAYER_NORM_EPS)

    def forward(self, tokens: torch.Tensor, positions: torch.Tensor, geometry: SamplingGeometry) -> torch.Tensor:
        """Tokens (batch, num_tokens, hidden_size), positions (1, num_tokens, hidden_size) -> tokens."""
        tokens = self.norm1(tokens + self.attention(tokens + positions, tokens, geometry))
        return self.norm2(tokens + self.mlp(tokens))


class PixelDecoder(nn.Module):
    """Turns the encoder's four maps into three memories for the queries and one map to read masks from."""

    def __init__(self, config: VitAdapterConfig) -> None:
        super().__init__()
        size, width = config.hidden_size, config.decoder_hidden_size
        self.input_convolutions = nn.ModuleList(
            ConvNormAct(size, width, num_groups=NUM_GROUPS, bias=True, activation=None) for _ in range(NUM_LEVELS)
        )
        self.level_embeddings = nn.Embedding(NUM_LEVELS, width)
        self.layers = nn.ModuleList(PixelDecoderLayer(config) for _ in range(config.pixel_decoder_num_layers))
        self.lateral_convolution = ConvNormAct(size, width, num_groups=NUM_GROUPS, activation=None)
        self.output_convolution = ConvNormAct(width, width, kernel_size=3, num_groups=NUM_GROUPS)
        self.mask_projection = nn.Conv2d(width, config.mask_feature_size or width, kernel_size=1)

    def forward(self, feature_maps: Sequence[torch.Tensor]) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Lets the three coarser maps exchange, and carries the result to the finest one.

        Args:
            feature_maps: Four maps (batch, hidden_size, rows, columns), finest first.

        Returns:
            The mask features (batch, mask_feature_size, rows, columns) at the finest map's size, and three memories
            (batch, decoder_hidden_size, rows, columns), coarsest first.
        """
        finest, *coarser = feature_maps
        levels = [
            convolution(feature_map)
            for convolution, feature_map in zip(self.input_convolutions, coarser[::-1], strict=True)
        ]
        grids: list[Grid] = [(level.shape[-2], level.shape[-1]) for level in levels]
        positions = torch.cat(
            [
                sine_position_embeddings(grid, level.shape[1], level.device).to(level.dtype) + embedding
                for grid, level, embedding in zip(grids, levels, self.level_embeddings.weight, strict=True)
            ]
        )[None]
        geometry = sampling_geometry(grids, grids, finest.device)
        tokens = torch.cat([level.flatten(2).transpose(1, 2) for level in levels], dim=1)
        for layer in self.layers:
            tokens = layer(tokens, positions, geometry)
        memories = [
            part.transpose(1, 2).unflatten(2, grid)
            for part, grid in zip(tokens.split([rows * columns for rows, columns in grids], dim=1), grids, strict=True)
        ]
        lateral = self.lateral_convolution(finest)
        merged = lateral + resize_bilinear(memories[-1], lateral.shape[-2:])
        return self.mask_projection(self.output_convolution(merged)), memories


__all__ = ["PixelDecoder", "sine_position_embeddings"]
