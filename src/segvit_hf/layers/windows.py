"""Cutting feature maps into windows of neighboring or of spread tokens, and the way back (HLG)."""

import torch

from segvit_hf.layers.resize import Grid


def split_windows(feature_map: torch.Tensor, window: Grid, *, dilated: bool) -> torch.Tensor:
    """The tokens of every window of a map.

    Args:
        feature_map: (batch, channels, rows, columns), sides that are multiples of the window's.
        window: Rows and columns of tokens in a window.
        dilated: Whether a window's tokens are spread evenly over the whole map, or are neighbors.

    Returns:
        (batch * windows down * windows across, window rows * window columns, channels), row by row.
    """
    batch_size, channels, rows, columns = feature_map.shape
    down, across = rows // window[0], columns // window[1]
    if dilated:
        cells = feature_map.reshape(batch_size, channels, window[0], down, window[1], across)
        cells = cells.permute(0, 3, 5, 2, 4, 1)
    else:
        cells = feature_map.reshape(batch_size, channels, down, window[0], across, window[1])
        cells = cells.permute(0, 2, 4, 3, 5, 1)
    return cells.reshape(batch_size * down * across, window[0] * window[1], channels)


def join_windows(windows: torch.Tensor, grid: Grid, window: Grid, *, dilated: bool) -> torch.Tensor:
    """What `split_windows` has cut apart.

    Args:
        windows: (batch * windows down * windows across, window rows * window columns, channels).
        grid: Rows and columns of the map.
        window: As it was cut.
        dilated: As it was cut.

    Returns:
        (batch, channels, rows, columns).
    """
    down, across = grid[0] // window[0], grid[1] // window[1]
    cells = windows.reshape(-1, down, across, window[0], window[1], windows.shape[-1])
    order = (0, 5, 3, 1, 4, 2) if dilated else (0, 5, 1, 3, 2, 4)
    return cells.permute(order).reshape(-1, windows.shape[-1], *grid)


__all__ = ["join_windows", "split_windows"]
