"""Windows hold the tokens that they are said to hold, and are joined again to the same map."""

import pytest
import torch

from segvit_hf.layers.windows import join_windows, split_windows


def numbered_map(rows: int, columns: int) -> torch.Tensor:
    """Two images whose cells say where they are: image, row, column."""
    image, row, column = torch.meshgrid(torch.arange(2), torch.arange(rows), torch.arange(columns), indexing="ij")
    return torch.stack([image, row, column], dim=1).float()


@pytest.mark.parametrize("dilated", [False, True])
@pytest.mark.parametrize(("grid", "window"), [((6, 12), (3, 4)), ((14, 7), (7, 7)), ((4, 8), (2, 1))])
def test_windows_are_row_by_row(grid: tuple[int, int], window: tuple[int, int], dilated: bool) -> None:
    feature_map = numbered_map(*grid)
    windows = split_windows(feature_map, window, dilated=dilated)
    down, across = grid[0] // window[0], grid[1] // window[1]
    expected = [
        [image, row * down + top, column * across + left]
        if dilated
        else [image, top * window[0] + row, left * window[1] + column]
        for image in range(2)
        for top in range(down)
        for left in range(across)
        for row in range(window[0])
        for column in range(window[1])
    ]
    assert windows.shape == (2 * down * across, window[0] * window[1], 3)
    assert windows.flatten(0, 1).tolist() == expected
    assert torch.equal(join_windows(windows, grid, window, dilated=dilated), feature_map)
