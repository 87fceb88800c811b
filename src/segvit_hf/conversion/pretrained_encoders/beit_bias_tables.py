"""Brings BEiT's tables of relative position biases to another patch grid, as its fine-tuning code does.

Distances of the small grid are spread over the large one in a geometric progression, so that near patches keep their
bias and far ones are stretched, and cubic splines give the values in between. Follows BEiT's checkpoint loader, which
https://github.com/czczup/ViT-Adapter shares; SciPy's `interp2d`, which they call, has been removed since.
"""

import math
import re
from collections.abc import Mapping

import numpy as np
import torch
from scipy.interpolate import RectBivariateSpline

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.encoders.beit import NUM_CLASS_TOKEN_ROWS, num_relative_distances

SHARED_TABLE = "rel_pos_bias.relative_position_bias_table"
# Where the ratio of the progression is looked for, and how closely.
_SMALLEST_RATIO, _LARGEST_RATIO, _RATIO_TOLERANCE = 1.01, 1.5, 1e-6


def geometric_distances(num_distances: int, farthest: int) -> list[float]:
    """Where the distances of a small grid lie on a large one.

    Args:
        num_distances: Farthest distance on the small grid, in patches.
        farthest: Farthest distance on the large grid.

    Returns:
        Positions of the distances `-num_distances` to `num_distances`: sums of 1, q, q^2, ..., q being the ratio with
        which they end at `farthest`.
    """
    if num_distances == farthest:
        return [float(distance) for distance in range(-farthest, farthest + 1)]
    low, high = _SMALLEST_RATIO, _LARGEST_RATIO
    ratio = low
    while high - low > _RATIO_TOLERANCE:
        ratio = (low + high) / 2
        if (1 - ratio**num_distances) / (1 - ratio) > farthest:
            high = ratio
        else:
            low = ratio
    positions, position = [], 1.0
    for index in range(num_distances):
        positions.append(position)
        position += ratio ** (index + 1)
    return [-position for position in reversed(positions)] + [0.0] + positions


def resize_bias_table(table: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """Brings one table to another patch grid.

    Args:
        table: (num_distances, num_heads) of a square patch grid, the class token's rows last.
        grid: Rows and columns of patches that are wanted.

    Returns:
        (num_relative_distances(grid), num_heads), float32; the class token's rows are copied.

    Raises:
        ConversionError: The table is not that of a square grid.
    """
    side = math.isqrt(max(len(table) - NUM_CLASS_TOKEN_ROWS, 0))
    if side % 2 == 0 or side * side + NUM_CLASS_TOKEN_ROWS != len(table):
        raise ConversionError(
            "relative_position_bias_table: expected the (2 n - 1)^2 + 3 distances of a square patch grid, found "
            f"{len(table)} rows."
        )
    farthest = side // 2
    if grid == (farthest + 1, farthest + 1):
        return table.float()
    patches, class_token = table.float().split([side * side, NUM_CLASS_TOKEN_ROWS])
    sources = [geometric_distances(farthest, sides - 1) for sides in grid]
    targets = [
        np.clip(np.arange(1 - sides, sides, dtype=np.float64), source[0], source[-1])
        for sides, source in zip(grid, sources, strict=True)
    ]
    heads = [
        RectBivariateSpline(*sources, head.reshape(side, side).double().numpy(), kx=3, ky=3)(*targets)
        for head in patches.t()
    ]
    resized = torch.from_numpy(np.stack(heads, axis=-1)).float().flatten(0, 1)
    assert len(resized) + NUM_CLASS_TOKEN_ROWS == num_relative_distances(grid)
    return torch.cat([resized, class_token])


def fit_bias_tables(
    weights: Mapping[str, torch.Tensor], num_layers: int, grid: tuple[int, int]
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """BEiT's weights with one table per layer, for a patch grid.

    Args:
        weights: Original names to tensors; a table that all layers share is given to each of them.
        num_layers: Number of layers of the encoder.
        grid: Rows and columns of patches that are wanted.

    Returns:
        The weights, and by name what was changed about a table.
    """
    fitted = {name: tensor for name, tensor in weights.items() if name != SHARED_TABLE}
    if SHARED_TABLE in weights:
        for layer in range(num_layers):
            fitted[f"blocks.{layer}.attn.relative_position_bias_table"] = weights[SHARED_TABLE]
    notes = {}
    for name, table in fitted.items():
        if re.fullmatch(r"(blocks|layers)\.\d+\.attn\.relative_position_bias_table", name):
            fitted[name] = resize_bias_table(table, grid)
            if len(fitted[name]) != len(table):
                notes[name] = f"resized from {len(table)} to {len(fitted[name])} distances"
    return fitted, notes


__all__ = ["fit_bias_tables", "geometric_distances", "resize_bias_table"]
