"""BEiT's attention: a learned bias for every head and every distance between two patches (Bao et al., 2022).

Follows the BEiT of ViT-Adapter's segmentation code (https://github.com/czczup/ViT-Adapter), for patch grids of any
size and shape; the original runs its training size only.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedConfig

from segvit_hf._compat import TransformersKwargs, Unpack, initialization
from segvit_hf.layers.attention import Attention
from segvit_hf.layers.resize import Grid

# Rows at the end of a table: from the class token to a patch, from a patch to the class token, the token to itself.
NUM_CLASS_TOKEN_ROWS = 3


@dataclass(frozen=True)
class RelativePositions:
    """Which row of a bias table belongs to which pair of tokens, for one patch grid.

    Attributes:
        index: (num_tokens, num_tokens) int64, the class token first; row is the query, column the key.
        table_grid: (rows, columns) of the patch grid whose distances the table must hold.
    """

    index: torch.Tensor
    table_grid: Grid


def num_relative_distances(grid: Grid) -> int:
    """Rows of the bias table of a patch grid."""
    return (2 * grid[0] - 1) * (2 * grid[1] - 1) + NUM_CLASS_TOKEN_ROWS


def relative_positions(stored_grid: Grid, grid: Grid, device: torch.device) -> RelativePositions:
    """Which bias belongs to which pair of tokens of an input.

    Args:
        stored_grid: The patch grid that the model's tables are stored for.
        grid: The patch grid of the input. On a smaller one every pair of patches finds the bias of its distance; on a
            larger one the tables have to be resized to `table_grid` first.
        device: Where the index is made.
    """
    rows, columns = table_grid = (max(stored_grid[0], grid[0]), max(stored_grid[1], grid[1]))
    vertical, horizontal = torch.meshgrid(
        torch.arange(grid[0], device=device), torch.arange(grid[1], device=device), indexing="ij"
    )
    vertical, horizontal = vertical.flatten(), horizontal.flatten()
    row_distance = vertical[:, None] - vertical[None, :] + rows - 1
    column_distance = horizontal[:, None] - horizontal[None, :] + columns - 1
    num_distances = num_relative_distances(table_grid)
    index = F.pad(row_distance * (2 * columns - 1) + column_distance, (1, 0, 1, 0))
    index[0, :] = num_distances - 3
    index[:, 0] = num_distances - 2
    index[0, 0] = num_distances - 1
    return RelativePositions(index=index, table_grid=table_grid)


def resize_relative_position_bias(table: torch.Tensor, stored_grid: Grid, grid: Grid) -> torch.Tensor:
    """A bias table for another patch grid: bilinear over distances, from the farthest to the farthest.

    Args:
        table: (num_relative_distances(stored_grid), num_heads).
        stored_grid: The patch grid whose distances it holds.
        grid: The patch grid whose distances are wanted.

    Returns:
        (num_relative_distances(grid), num_heads), in the dtype that was given; computed in float32.
    """
    if grid == stored_grid:
        return table
    patches, class_token = table.split([len(table) - NUM_CLASS_TOKEN_ROWS, NUM_CLASS_TOKEN_ROWS])
    distances = patches.t().reshape(1, -1, 2 * stored_grid[0] - 1, 2 * stored_grid[1] - 1)
    resized = F.interpolate(
        distances.float(), size=(2 * grid[0] - 1, 2 * grid[1] - 1), mode="bilinear", align_corners=True
    )
    return torch.cat([resized[0].flatten(1).t().to(table.dtype), class_token])


class BeitAttention(Attention):
    """Multi-head self attention with relative position bias; all tokens attend to all.

    Queries and values have a bias (with `qkv_bias`), keys have none.

    Args:
        config: Names the attention implementation.
        hidden_size: Width of the tokens.
        num_heads: Number of heads.
        stored_grid: The patch grid whose distances the bias table holds.
        qkv_bias: Whether queries and values have a bias.
        dropout: Dropout probability of the attention probabilities.
    """

    def __init__(
        self,
        config: PreTrainedConfig,
        *,
        hidden_size: int,
        num_heads: int,
        stored_grid: Grid,
        qkv_bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(config, num_heads=num_heads, dropout=dropout)
        self.stored_grid = stored_grid
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size, bias=False)
        self.proj = nn.Linear(hidden_size, hidden_size)
        if qkv_bias:
            self.query_bias = nn.Parameter(torch.zeros(hidden_size))
            self.value_bias = nn.Parameter(torch.zeros(hidden_size))
        self.relative_position_bias_table = nn.Parameter(torch.zeros(num_relative_distances(stored_grid), num_heads))

    def reset_parameters(self) -> None:
        """Zero biases, as in the original."""
        for name in ("query_bias", "value_bias", "relative_position_bias_table"):
            if hasattr(self, name):
                initialization.zeros_(getattr(self, name))

    def forward(
        self,
        hidden_states: torch.Tensor,
        *,
        relative_positions: RelativePositions,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Attends with the bias of every pair's distance.

        Args:
            hidden_states: (batch, num_tokens, hidden_size), the class token first.
            relative_positions: Of the tokens' patch grid, see `relative_positions`.
            **kwargs: Passed to `attend`.

        Returns:
            (batch, num_tokens, hidden_size) and the attention probabilities or `None`.
        """
        bias = None
        if hasattr(self, "query_bias"):
            bias = torch.cat([self.query_bias, torch.zeros_like(self.value_bias), self.value_bias])
        query, key, value = F.linear(hidden_states, self.qkv.weight, bias).chunk(3, dim=-1)
        table = resize_relative_position_bias(
            self.relative_position_bias_table, self.stored_grid, relative_positions.table_grid
        )
        position_bias = table.t()[:, relative_positions.index].to(query.dtype)
        output, probabilities = self.attend(query, key, value, position_bias[None], **kwargs)
        return self.proj(output), probabilities


__all__ = [
    "BeitAttention",
    "RelativePositions",
    "num_relative_distances",
    "relative_positions",
    "resize_relative_position_bias",
]
