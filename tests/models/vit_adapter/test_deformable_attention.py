"""Deformable attention against a computation pixel by pixel, in 16 bits, compiled, and as it is initialized."""

import math

import pytest
import torch

from segvit_hf.layers.deformable_attention import MultiScaleDeformableAttention, sample_levels, sampling_geometry

QUERY_GRIDS, LEVEL_GRIDS = [(2, 3)], [(4, 6), (2, 3)]
CPU = torch.device("cpu")


def read(level_map: torch.Tensor, x: float, y: float) -> torch.Tensor:
    """Bilinear value of (rows, columns, channels) at (x, y) in 0..1, zeros outside."""
    rows, columns = level_map.shape[:2]
    column, row = x * columns - 0.5, y * rows - 0.5
    value = torch.zeros(level_map.shape[-1])
    for r in (math.floor(row), math.floor(row) + 1):
        for c in (math.floor(column), math.floor(column) + 1):
            if 0 <= r < rows and 0 <= c < columns:
                value += (1 - abs(row - r)) * (1 - abs(column - c)) * level_map[r, c]
    return value


def test_sampling_equals_the_sum_over_points() -> None:
    torch.manual_seed(0)
    values = torch.randn(2, 30, 2, 4)
    locations = torch.rand(2, 5, 2, 2, 3, 2) * 1.4 - 0.2  # some of them outside
    weights = torch.rand(2, 5, 2, 2, 3)
    found = sample_levels(values, LEVEL_GRIDS, locations, weights).view(2, 5, 2, 4)
    maps = [part.unflatten(1, grid) for part, grid in zip(values.split([24, 6], dim=1), LEVEL_GRIDS, strict=True)]
    for batch in range(2):
        for query in range(5):
            for head in range(2):
                expected = sum(
                    weights[batch, query, head, level, point]
                    * read(maps[level][batch, :, :, head], *locations[batch, query, head, level, point].tolist())
                    for level in range(2)
                    for point in range(3)
                )
                torch.testing.assert_close(found[batch, query, head], expected, rtol=1e-4, atol=1e-5)


def attention(**changes: float) -> MultiScaleDeformableAttention:
    torch.manual_seed(0)
    fields = {"hidden_size": 16, "num_heads": 2, "num_levels": 2, "num_points": 3, **changes}
    return MultiScaleDeformableAttention(**fields)


def test_values_may_be_narrower_than_the_tokens() -> None:
    module = attention(value_ratio=0.5)
    geometry = sampling_geometry(QUERY_GRIDS, LEVEL_GRIDS, CPU)
    assert module.value.out_features == 8
    assert module(torch.randn(2, 6, 16), torch.randn(2, 30, 16), geometry).shape == (2, 6, 16)


def test_reference_points_are_the_centers_of_the_cells() -> None:
    points = sampling_geometry([(1, 2), (2, 1)], LEVEL_GRIDS, CPU).reference_points
    assert points.tolist() == [[[0.25, 0.5], [0.75, 0.5], [0.5, 0.25], [0.5, 0.75]]]


def test_level_sizes_are_widths_and_heights() -> None:
    """Offsets, which count cells along (x, y), are divided by them."""
    assert sampling_geometry([(1, 1)], [(2, 3), (5, 1)], CPU).level_sizes.tolist() == [[3.0, 2.0], [1.0, 5.0]]


def test_heads_start_by_looking_in_even_directions() -> None:
    module = attention(num_heads=4)
    module.reset_parameters()
    offsets = module.sampling_offsets.bias.view(4, 2, 3, 2)
    expected = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    for point in range(3):
        torch.testing.assert_close(offsets[:, 0, point], (point + 1) * expected, rtol=0, atol=1e-6)
    assert not module.sampling_offsets.weight.any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_positions_stay_in_float32(dtype: torch.dtype) -> None:
    module = attention().to(dtype)
    with torch.no_grad():
        module.sampling_offsets.weight.zero_()
        module.sampling_offsets.bias.zero_()
    # One row of many columns: 16 bits cannot tell their centers apart.
    geometry = sampling_geometry([(1, 1000)], [(1, 1000), (1, 1)], CPU)
    tokens = torch.randn(1, 1001, 16, dtype=dtype)
    read_by: list[torch.Tensor] = []

    def record(values: torch.Tensor, grids: object, locations: torch.Tensor, weights: object) -> torch.Tensor:
        read_by.append(locations)
        return values.new_zeros(1, 1000, 16)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("segvit_hf.layers.deformable_attention.sample_levels", record)
        module(tokens[:, :1000], tokens, geometry)
    assert read_by[0].dtype == torch.float32
    assert len(read_by[0][0, :, 0, 0, 0, 0].unique()) == 1000
    output = module(tokens[:, :1000], tokens, geometry)
    assert output.dtype == dtype


def test_it_compiles_in_one_graph() -> None:
    module = attention()
    geometry = sampling_geometry(QUERY_GRIDS, LEVEL_GRIDS, CPU)
    queries, tokens = torch.randn(1, 6, 16), torch.randn(1, 30, 16)
    compiled = torch.compile(module, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(queries, tokens, geometry), module(queries, tokens, geometry))
