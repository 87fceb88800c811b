"""Pixel arithmetic of the originals' test pipelines: OpenCV's resize and mmcv's normalization, in PyTorch.

The originals resize uint8 images with `cv2.resize`, which does not antialias and works in fixed point; its results are
reproduced bit for bit on any device (OpenCV, modules/imgproc/src/resize.cpp: `INTER_LINEAR` for uint8,
`INTER_NEAREST`), without needing OpenCV.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Taps = tuple[Tensor, Tensor, Tensor, Tensor]

# cv2 keeps the weights of the two taps as integers in units of 1 / 2048.
COEFFICIENT_SCALE = 2048


def _source_positions(source: int, target: int) -> tuple[Tensor, Tensor]:
    """Index of the pixel before each target pixel's center, and the float32 fraction of the way to the next."""
    step = 1.0 / (target / source)
    positions = ((torch.arange(target, dtype=torch.float64) + 0.5) * step - 0.5).to(torch.float32)
    first = positions.floor()
    return first.to(torch.int64), positions - first


def _fixed_point_taps(first: Tensor, fraction: Tensor, source: int, device: torch.device) -> Taps:
    """The two source indices of every target index, clamped, and their integer weights."""
    before = first.clamp(0, source - 1)
    after = (first + 1).clamp(0, source - 1)
    # round() is half to even, as cv2's cvRound is
    weight_before = ((1 - fraction) * COEFFICIENT_SCALE).round().to(torch.int32)
    weight_after = (fraction * COEFFICIENT_SCALE).round().to(torch.int32)
    return before.to(device), after.to(device), weight_before.to(device), weight_after.to(device)


def _horizontal_taps(source: int, target: int, device: torch.device) -> Taps:
    first, fraction = _source_positions(source, target)
    # Beyond the borders the horizontal pass takes the border pixel with full weight. The vertical pass does not: it
    # adds two truncated products of the same row, which can differ by one.
    fraction = torch.where((first < 0) | (first >= source - 1), torch.zeros_like(fraction), fraction)
    return _fixed_point_taps(first, fraction, source, device)


def _vertical_taps(source: int, target: int, device: torch.device) -> Taps:
    return _fixed_point_taps(*_source_positions(source, target), source, device)


def resize_uint8_bilinear(image: Tensor, height: int, width: int) -> Tensor:
    """`cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)` for uint8 images, bit for bit.

    Args:
        image: uint8 tensor (..., source height, source width) on any device.
        height: That of the result.
        width: That of the result.

    Returns:
        uint8 tensor (..., height, width).
    """
    source_height, source_width = image.shape[-2:]
    if (source_height, source_width) == (height, width):
        return image
    if (source_height, source_width) == (2 * height, 2 * width):
        # cv2 takes the mean of 2 x 2 pixels when both sides are exactly halved
        pixels = image.to(torch.int32)
        rows = pixels[..., 0::2, :] + pixels[..., 1::2, :]
        return ((rows[..., 0::2] + rows[..., 1::2] + 2) >> 2).to(torch.uint8)
    left, right, left_weight, right_weight = _horizontal_taps(source_width, width, image.device)
    rows = image[..., left].to(torch.int32) * left_weight + image[..., right].to(torch.int32) * right_weight
    # 8 + 11 bits per row value; cv2 multiplies 16-bit halves, so 4 bits go before the product and 16 after it
    rows = rows >> 4
    top, bottom, top_weight, bottom_weight = _vertical_taps(source_height, height, image.device)
    upper = (rows[..., top, :] * top_weight[:, None]) >> 16
    lower = (rows[..., bottom, :] * bottom_weight[:, None]) >> 16
    return ((upper + lower + 2) >> 2).clamp(0, 255).to(torch.uint8)


def resize_nearest(image: Tensor, height: int, width: int) -> Tensor:
    """`cv2.resize(image, (width, height), interpolation=cv2.INTER_NEAREST)`: source index = floor(index / ratio).

    Args:
        image: Tensor (..., source height, source width) of any dtype.
        height: That of the result.
        width: That of the result.

    Returns:
        Tensor (..., height, width) of the same dtype.
    """
    source_height, source_width = image.shape[-2:]
    rows, columns = (
        (torch.arange(target, dtype=torch.float64) * (1.0 / (target / source)))
        .floor()
        .to(torch.int64)
        .clamp(max=source - 1)
        .to(image.device)
        for source, target in ((source_height, height), (source_width, width))
    )
    return image[..., rows, :][..., columns]


def resize_float_bilinear(image: Tensor, height: int, width: int) -> Tensor:
    """Bilinear resize of a floating-point tensor (channels, height, width), half-pixel centers, no antialiasing."""
    if tuple(image.shape[-2:]) == (height, width):
        return image
    return F.interpolate(image[None], size=(height, width), mode="bilinear", align_corners=False)[0]


def resize_uint8_bilinear_float(image: Tensor, height: int, width: int) -> Tensor:
    """`resize_uint8_bilinear` in float arithmetic: 2 to 5 times as fast on a CPU, a tenth of the values off by 1.

    For training, where photos are resized by random factors anyway.

    Args:
        image: uint8 tensor (channels, source height, source width).
        height: That of the result.
        width: That of the result.

    Returns:
        uint8 tensor (channels, height, width).
    """
    if tuple(image.shape[-2:]) == (height, width):
        return image
    return resize_float_bilinear(image.float(), height, width).add(0.5).clamp(0, 255).to(torch.uint8)


def resize_bilinear(image: Tensor, height: int, width: int) -> Tensor:
    """Bilinear resize without antialiasing: cv2's fixed point for uint8, float arithmetic otherwise."""
    if image.dtype == torch.uint8:
        return resize_uint8_bilinear(image, height, width)
    return resize_float_bilinear(image, height, width)


def normalize(image: Tensor, mean: Sequence[float], std: Sequence[float], rescale_factor: float = 1.0) -> Tensor:
    """(image * rescale_factor - mean) / std in float32, computed as `mmcv.imnormalize` does.

    The constants are brought to the image's units in double precision, `mean / rescale_factor` is subtracted and the
    result multiplied by `rescale_factor / std`.

    Args:
        image: Tensor (channels, height, width) of any real dtype.
        mean: One number per channel, or a single one.
        std: One number per channel, or a single one.
        rescale_factor: What brings the image to the units of `mean` and `std`.

    Returns:
        float32 tensor (channels, height, width).

    Raises:
        ValueError: `mean` or `std` fits neither one nor the image's number of channels, or a std is zero.
    """
    constants = []
    for name, values in (("image_mean", mean), ("image_std", std)):
        if len(values) not in (1, image.shape[0]):
            raise ValueError(f"{name} has {len(values)} entries, but the image has {image.shape[0]} channels.")
        constants.append(torch.tensor(list(values), dtype=torch.float64).reshape(-1, 1, 1))
    if not bool((constants[1] != 0).all()):
        raise ValueError(f"image_std must not contain zeros, found {list(std)}.")
    shift = (constants[0] / rescale_factor).to(torch.float32).to(image.device)
    factor = (rescale_factor / constants[1]).to(torch.float32).to(image.device)
    return (image.to(torch.float32) - shift) * factor
