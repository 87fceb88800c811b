"""Colors for classes that have none."""

import colorsys
from collections.abc import Sequence

import numpy as np

# The golden ratio spreads any number of hues evenly, and keeps the first ones the same when classes are added.
_GOLDEN_RATIO = 0.618033988749895
_SATURATION_AND_VALUE = ((0.85, 0.95), (0.55, 1.0), (1.0, 0.65), (0.45, 0.75))


def generated_palette(num_colors: int) -> tuple[tuple[int, int, int], ...]:
    """`num_colors` well-spread RGB colors (0 to 255), the same at every call; none of them is black or white."""
    colors = []
    for index in range(num_colors):
        saturation, value = _SATURATION_AND_VALUE[index % len(_SATURATION_AND_VALUE)]
        red, green, blue = colorsys.hsv_to_rgb((index * _GOLDEN_RATIO) % 1.0, saturation, value)
        colors.append((round(255 * red), round(255 * green), round(255 * blue)))
    return tuple(colors)


def palette_array(palette: Sequence[Sequence[int]] | np.ndarray | None, num_colors: int) -> np.ndarray:
    """uint8 array (at least num_colors, 3) of the given palette, or of generated colors when it is None.

    Raises:
        ValueError: Too few colors, or values that are not three numbers of 0 to 255.
    """
    if palette is None:
        return np.array(generated_palette(num_colors), dtype=np.uint8).reshape(-1, 3)
    array = np.asarray(palette)
    if array.ndim != 2 or array.shape[1] != 3 or array.size == 0 or array.min() < 0 or array.max() > 255:
        raise ValueError(
            f"palette must hold (red, green, blue) of 0 to 255 for each class, found shape {array.shape}."
        )
    if len(array) < num_colors:
        raise ValueError(f"palette has {len(array)} colors but the label map holds the id {num_colors - 1}.")
    return array.astype(np.uint8)
