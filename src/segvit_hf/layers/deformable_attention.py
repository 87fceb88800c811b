"""Multi-scale deformable attention (Zhu et al., 2021): every query reads a few points that it chooses.

One implementation in plain PyTorch for ViT-Adapter's injectors and extractors (`MSDeformAttn` of
https://github.com/czczup/ViT-Adapter, whose values may be narrower than the tokens) and for Mask2Former's pixel
decoder. It needs no compiled operation and gives the same on CPU and GPU.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from segvit_hf._compat import initialization
from segvit_hf.layers.resize import Grid


@dataclass(frozen=True)
class SamplingGeometry:
    """Where queries stand and what they read from; made once per input size and shared by all layers.

    Attributes:
        reference_points: (1, num_queries, 2) float32, the center (x, y) of each query's cell, in 0..1.
        level_sizes: (num_levels, 2) float32, the (width, height) of the maps that are read.
        level_grids: (rows, columns) of the same maps.
    """

    reference_points: torch.Tensor
    level_sizes: torch.Tensor
    level_grids: tuple[Grid, ...]


def sampling_geometry(
    query_grids: Sequence[Grid], level_grids: Sequence[Grid], device: torch.device
) -> SamplingGeometry:
    """The geometry of queries on the cells of `query_grids`, map after map, that read maps of `level_grids`."""
    points = []
    for rows, columns in query_grids:
        y = (torch.arange(rows, dtype=torch.float32, device=device) + 0.5) / rows
        x = (torch.arange(columns, dtype=torch.float32, device=device) + 0.5) / columns
        points.append(torch.stack([x[None, :].expand(rows, -1), y[:, None].expand(-1, columns)], dim=-1).flatten(0, 1))
    sizes = [(columns, rows) for rows, columns in level_grids]
    return SamplingGeometry(
        reference_points=torch.cat(points)[None],
        level_sizes=torch.tensor(sizes, dtype=torch.float32, device=device),
        level_grids=tuple(level_grids),
    )


def sample_levels(
    values: torch.Tensor, level_grids: Sequence[Grid], locations: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Weighted sums of values read at fractional positions, bilinear, zeros outside.

    Args:
        values: (batch, sum of rows * columns, num_heads, head_size).
        level_grids: (rows, columns) of each map.
        locations: (batch, num_queries, num_heads, num_levels, num_points, 2) float32, (x, y) in 0..1.
        weights: (batch, num_queries, num_heads, num_levels, num_points).

    Returns:
        (batch, num_queries, num_heads * head_size), in the dtype of `values`; computed in float32.
    """
    batch_size, _, num_heads, head_size = values.shape
    num_queries = locations.shape[1]
    # grid_sample counts from -1 to 1, and wants the positions in the dtype of what it reads.
    positions = (2 * locations - 1).transpose(1, 2).flatten(0, 1)
    factors = weights.float().transpose(1, 2).flatten(0, 1)
    output = None
    for level, (level_values, grid) in enumerate(
        zip(values.split([rows * columns for rows, columns in level_grids], dim=1), level_grids, strict=True)
    ):
        level_map = level_values.permute(0, 2, 3, 1).reshape(batch_size * num_heads, head_size, *grid)
        sampled = F.grid_sample(
            level_map.float(), positions[:, :, level], mode="bilinear", padding_mode="zeros", align_corners=False
        )
        weighted = (sampled * factors[:, None, :, level]).sum(-1)
        output = weighted if output is None else output + weighted
    assert output is not None  # there is at least one level
    output = output.view(batch_size, num_heads * head_size, num_queries).transpose(1, 2)
    return output.to(values.dtype)


class MultiScaleDeformableAttention(nn.Module):
    """Every query reads, from every map, a few points whose offsets and weights it predicts.

    Args:
        hidden_size: Width of queries and tokens.
        num_heads: Number of heads.
        num_levels: Number of feature maps that are read.
        num_points: Points per head and map.
        value_ratio: Width of the values as a share of `hidden_size`.
    """

    def __init__(
        self, *, hidden_size: int, num_heads: int, num_levels: int, num_points: int, value_ratio: float = 1.0
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.num_levels = num_levels
        self.num_points = num_points
        value_size = int(hidden_size * value_ratio)
        self.sampling_offsets = nn.Linear(hidden_size, num_heads * num_levels * num_points * 2)
        self.attention_weights = nn.Linear(hidden_size, num_heads * num_levels * num_points)
        self.value = nn.Linear(hidden_size, value_size)
        self.proj = nn.Linear(value_size, hidden_size)

    def reset_parameters(self) -> None:
        """Heads look in evenly spread directions, the n-th point n cells away, all points weigh the same."""
        angles = torch.arange(self.num_heads, dtype=torch.float32) * (2.0 * math.pi / self.num_heads)
        directions = torch.stack([angles.cos(), angles.sin()], dim=-1)
        directions = directions / directions.abs().amax(-1, keepdim=True)
        steps = torch.arange(1, self.num_points + 1, dtype=torch.float32)
        offsets = directions[:, None, None, :] * steps[None, None, :, None]
        offsets = offsets.expand(-1, self.num_levels, -1, -1).flatten()
        initialization.zeros_(self.sampling_offsets.weight)
        initialization.copy_(self.sampling_offsets.bias, offsets)
        initialization.zeros_(self.attention_weights.weight)
        initialization.zeros_(self.attention_weights.bias)
        for linear in (self.value, self.proj):
            initialization.xavier_uniform_(linear.weight)
            initialization.zeros_(linear.bias)

    def forward(self, queries: torch.Tensor, tokens: torch.Tensor, geometry: SamplingGeometry) -> torch.Tensor:
        """Sums what the chosen points hold.

        Args:
            queries: (batch, num_queries, hidden_size), in the order of `geometry.reference_points`.
            tokens: (batch, num_tokens, hidden_size), the maps of `geometry.level_grids` one after the other.
            geometry: Where the queries stand and which maps there are.

        Returns:
            (batch, num_queries, hidden_size).
        """
        batch_size, num_queries, _ = queries.shape
        values = self.value(tokens).unflatten(-1, (self.num_heads, -1))
        points = (batch_size, num_queries, self.num_heads, self.num_levels, self.num_points)
        weights = self.attention_weights(queries).view(*points[:3], -1).softmax(-1, dtype=torch.float32).view(points)
        # Positions stay in float32: bfloat16 cannot tell neighboring cells of a large map apart.
        offsets = self.sampling_offsets(queries).float().view(*points, 2)
        locations = geometry.reference_points[:, :, None, None, None] + offsets / geometry.level_sizes[:, None]
        return self.proj(sample_levels(values, geometry.level_grids, locations, weights))


__all__ = ["MultiScaleDeformableAttention", "SamplingGeometry", "sample_levels", "sampling_geometry"]
