"""Relative position bias that a small network computes from offsets, for grids of any size (CrossFormer, HLG).

Nothing here is stored per size: the table of a grid is computed where it is needed, and which entry belongs to which
pair of tokens is a strided view of it, without an index.
"""

import torch
from torch import nn

from segvit_hf.layers.resize import Grid

# Of the network's own layer norms; the encoder's is a field of the configuration.
LAYER_NORM_EPS = 1e-5
REDUCTION = 16


def offset_grid(grid: Grid, *, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """All offsets between two tokens of a grid, ((2 rows - 1) * (2 columns - 1), 2), ascending, row by row."""
    sides = [torch.arange(1 - side, side, device=device, dtype=torch.float32) for side in grid]
    return torch.stack(torch.meshgrid(*sides, indexing="ij"), dim=-1).flatten(0, 1).to(dtype)


def pairwise_bias(sheet: torch.Tensor, grid: Grid, key_grid: Grid) -> torch.Tensor:
    """The bias of every query and key, read from a table of their offsets.

    Args:
        sheet: (num_heads, rows + key rows - 1, columns + key columns - 1): entry (a, b) belongs to pairs whose rows
            differ by a - key rows + 1 and whose columns by b - key columns + 1. May be a view.
        grid: (rows, columns) of queries.
        key_grid: (key rows, key columns).

    Returns:
        (num_heads, rows * columns, key rows * key columns).
    """
    views = sheet.unfold(1, key_grid[0], 1).unfold(2, key_grid[1], 1)
    views = views[:, : grid[0], : grid[1]].flip(-2, -1)
    return views.reshape(sheet.shape[0], grid[0] * grid[1], key_grid[0] * key_grid[1])


class DynamicPositionBias(nn.Module):
    """A network of four linear layers from the offset between two tokens to a bias for every head.

    Args:
        token_size: Width of the tokens; that of the network is a sixteenth of it.
        num_heads: Number of heads.
    """

    def __init__(self, *, token_size: int, num_heads: int) -> None:
        super().__init__()
        hidden_size = token_size // REDUCTION
        self.projection = nn.Linear(2, hidden_size)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden_size, eps=LAYER_NORM_EPS) for _ in range(3))
        self.layers = nn.ModuleList(nn.Linear(hidden_size, size) for size in (hidden_size, hidden_size, num_heads))

    def table(self, grid: Grid) -> torch.Tensor:
        """The bias of every offset in a grid, (num_heads, (2 rows - 1) * (2 columns - 1))."""
        weight = self.projection.weight
        hidden_states = self.projection(offset_grid(grid, device=weight.device, dtype=weight.dtype))
        for norm, layer in zip(self.norms, self.layers, strict=True):
            hidden_states = layer(torch.relu(norm(hidden_states)))
        return hidden_states.t()

    def between_all(self, grid: Grid) -> torch.Tensor:
        """The bias of every pair of tokens, (num_heads, rows * columns, rows * columns)."""
        return pairwise_bias(self._sheet(grid), grid, grid)

    def to_leading_tokens(self, grid: Grid, num_keys: int) -> torch.Tensor:
        """The first `num_keys` columns of `between_all`, without computing the others.

        HLG's classification code uses them for window tokens, as if these were the first tokens of the grid.
        """
        rows, columns = grid
        key_rows = -(-num_keys // columns)
        bias = pairwise_bias(self._sheet(grid)[:, rows - key_rows :], grid, (key_rows, columns))
        return bias[:, :, :num_keys]

    def to_window_tokens(self, grid: Grid, window_grid: Grid) -> torch.Tensor:
        """The bias between tokens and window tokens, (num_heads, rows * columns, window rows * window columns).

        As in HLG's code, the table is that of the tokens' grid, read with the row length of the window tokens' one:
        which offset a pair's bias was computed from has little to do with where the two are. Grids with fewer tokens
        than windows, which the original cannot run, get the table of as many tokens.
        """
        (rows, columns), (window_rows, window_columns) = grid, window_grid
        table = self.table((max(rows, window_rows), max(columns, window_columns)))
        sheet = table.unfold(1, columns + window_columns - 1, 2 * window_columns - 1)
        return pairwise_bias(sheet[:, : rows + window_rows - 1], grid, window_grid)

    def _sheet(self, grid: Grid) -> torch.Tensor:
        return self.table(grid).unflatten(1, (2 * grid[0] - 1, 2 * grid[1] - 1))


__all__ = ["DynamicPositionBias", "offset_grid", "pairwise_bias"]
