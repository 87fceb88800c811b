"""8-bit HSV as OpenCV defines it: hue 0 to 179 (half degrees), saturation and value 0 to 255.

MMSegmentation's color augmentation is defined in these units, so its ranges mean the same here; OpenCV is not needed.
"""

import numpy as np

_FRACTION_BITS = 12
_HALF = 1 << (_FRACTION_BITS - 1)
_DIVISORS = np.arange(256, dtype=np.float64)
_DIVISORS[0] = np.inf
# Rounded reciprocals, so that no pixel is divided.
_SATURATION_TABLE = np.rint((255 << _FRACTION_BITS) / _DIVISORS).astype(np.int32)
_HUE_TABLE = np.rint((180 << _FRACTION_BITS) / (6 * _DIVISORS)).astype(np.int32)

# For each sixth of the hue circle: which of (value, p, q, t) are red, green and blue.
_SECTORS = np.array([[0, 3, 1], [2, 0, 1], [1, 0, 3], [1, 2, 0], [3, 1, 0], [0, 1, 2]])


def rgb_to_hsv(image: np.ndarray) -> np.ndarray:
    """uint8 RGB (height, width, 3) to uint8 HSV of the same shape, in OpenCV's fixed-point arithmetic."""
    red, green, blue = (image[..., channel].astype(np.int32) for channel in range(3))
    value = np.maximum(np.maximum(red, green), blue)
    spread = value - np.minimum(np.minimum(red, green), blue)
    saturation = (spread * _SATURATION_TABLE[value] + _HALF) >> _FRACTION_BITS
    sixths = np.where(
        value == red,
        green - blue,
        np.where(value == green, blue - red + 2 * spread, red - green + 4 * spread),
    )
    hue = (sixths * _HUE_TABLE[spread] + _HALF) >> _FRACTION_BITS
    hue += np.where(hue < 0, 180, 0)
    return np.stack([hue, saturation, value], axis=-1).astype(np.uint8)


def hsv_to_rgb(image: np.ndarray) -> np.ndarray:
    """uint8 HSV (height, width, 3) to uint8 RGB of the same shape; 99.5 % of the values are OpenCV's, others 1 off."""
    hue = image[..., 0].astype(np.float32) * np.float32(6 / 180)
    saturation, value = (image[..., channel].astype(np.float32) / np.float32(255) for channel in (1, 2))
    sector = np.floor(hue)
    fraction = hue - sector
    sector = sector.astype(np.int64) % 6
    choices = np.stack(
        [
            value,
            value * (1 - saturation),
            value * (1 - saturation * fraction),
            value * (1 - saturation * (1 - fraction)),
        ],
        axis=-1,
    )
    rgb = np.take_along_axis(choices, _SECTORS[sector], axis=-1)
    # Truncated, not rounded: so does OpenCV.
    return (rgb * np.float32(255)).astype(np.uint8)
