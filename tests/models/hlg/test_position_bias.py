"""Biases that are read as views equal those that the original looks up by an index."""

import pytest
import torch

from segvit_hf.layers.dynamic_position_bias import DynamicPositionBias, offset_grid

GRIDS = [(7, 7), (3, 5), (6, 10), (1, 4), (12, 2)]


@pytest.fixture
def bias() -> DynamicPositionBias:
    torch.manual_seed(0)
    return DynamicPositionBias(token_size=64, num_heads=3)


def looked_up(
    table: torch.Tensor, grid: tuple[int, int], keys: list[tuple[int, int]], origin: tuple[int, int], row_length: int
) -> torch.Tensor:
    """(num_heads, tokens, keys): entry (row distance + origin) * row_length + column distance + origin."""
    rows = [(row, column) for row in range(grid[0]) for column in range(grid[1])]
    index = [[(r - kr + origin[0]) * row_length + c - kc + origin[1] for kr, kc in keys] for r, c in rows]
    return table[:, torch.tensor(index)]


def cells(grid: tuple[int, int]) -> list[tuple[int, int]]:
    return [(row, column) for row in range(grid[0]) for column in range(grid[1])]


@pytest.mark.parametrize("grid", GRIDS)
def test_every_pair_has_the_bias_of_its_offset(bias: DynamicPositionBias, grid: tuple[int, int]) -> None:
    offsets = offset_grid(grid, device=torch.device("cpu"), dtype=torch.float32)
    assert offsets[0].tolist() == [1 - grid[0], 1 - grid[1]]
    assert offsets[-1].tolist() == [grid[0] - 1, grid[1] - 1]
    origin = (grid[0] - 1, grid[1] - 1)
    expected = looked_up(bias.table(grid), grid, cells(grid), origin, 2 * grid[1] - 1)
    assert torch.equal(bias.between_all(grid), expected)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("num_keys", [1, 3, 4])
def test_leading_tokens_are_the_first_columns(bias: DynamicPositionBias, grid: tuple[int, int], num_keys: int) -> None:
    found = bias.to_leading_tokens(grid, num_keys)
    torch.testing.assert_close(found, bias.between_all(grid)[:, :, :num_keys], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("grid", "window_grid"), [((6, 10), (1, 2)), ((24, 40), (4, 6)), ((9, 8), (8, 8))])
def test_window_tokens_read_the_table_of_all_tokens_in_rows_of_theirs(
    bias: DynamicPositionBias, grid: tuple[int, int], window_grid: tuple[int, int]
) -> None:
    origin = (window_grid[0] - 1, window_grid[1] - 1)
    expected = looked_up(bias.table(grid), grid, cells(window_grid), origin, 2 * window_grid[1] - 1)
    assert torch.equal(bias.to_window_tokens(grid, window_grid), expected)


def test_there_may_be_more_windows_than_tokens(bias: DynamicPositionBias) -> None:
    assert bias.to_window_tokens((1, 3), (8, 8)).shape == (3, 3, 64)


def test_gradients_reach_the_network(bias: DynamicPositionBias) -> None:
    weights = torch.randn(3, 60, 2)
    (bias.to_window_tokens((6, 10), (1, 2)) * weights).sum().backward()
    found = bias.layers[-1].bias.grad
    torch.testing.assert_close(found, weights.sum((1, 2)))
