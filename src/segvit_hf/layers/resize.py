"""Feature maps and images: as tokens, bilinear resizes, padding to multiples, and the way back."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F

# Rows and columns of a feature map; height and width of an image.
Grid = tuple[int, int]
Size = tuple[int, int]
# What becomes of sides that are no multiples of the patch size: see `fit_to_patches`.
Padding = Literal["end", "center", "cut"]


def tokens_of(feature_map: torch.Tensor) -> torch.Tensor:
    """(batch, channels, rows, columns) -> (batch, rows * columns, channels), row by row, contiguous.

    A linear layer rounds strided tokens otherwise when its weights are frozen than when they are not.
    """
    return feature_map.flatten(2).transpose(1, 2).contiguous()


def resize_bilinear(maps: torch.Tensor, size: Sequence[int], *, align_corners: bool = False) -> torch.Tensor:
    """(batch, channels, rows, columns) -> (batch, channels, *size), without antialiasing."""
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=align_corners)


def pad_to_multiple(maps: torch.Tensor, divisor: int, value: float = 0.0) -> torch.Tensor:
    """(..., height, width), filled up with `value` at the bottom and at the right to multiples of `divisor`."""
    height, width = maps.shape[-2:]
    return F.pad(maps, (0, -width % divisor, 0, -height % divisor), value=value)


def pad_around(maps: torch.Tensor, divisor: int) -> torch.Tensor:
    """(..., height, width), filled up with zeros to multiples of `divisor`: half before, the larger half behind."""
    height, width = -maps.shape[-2] % divisor, -maps.shape[-1] % divisor
    top, left = height // 2, width // 2
    return F.pad(maps, (left, width - left, top, height - top))


def cut_to_multiple(maps: torch.Tensor, divisor: int) -> torch.Tensor:
    """(..., height, width) without what exceeds multiples of `divisor`; shorter sides are filled up with zeros."""
    height, width = maps.shape[-2:]
    rows, columns = max(height // divisor, 1) * divisor, max(width // divisor, 1) * divisor
    return F.pad(maps, (0, columns - width, 0, rows - height))  # negative padding cuts


def fit_to_patches(maps: torch.Tensor, patch_size: int, padding: Padding) -> torch.Tensor:
    """(..., height, width) with sides that are multiples of the patch size."""
    fit = {"end": pad_to_multiple, "center": pad_around, "cut": cut_to_multiple}[padding]
    return fit(maps, patch_size)


def resize_padded(scores: torch.Tensor, size: Sequence[int], divisor: int) -> torch.Tensor:
    """Brings scores of an input that `pad_to_multiple` has padded to the input's size, without the padding.

    Args:
        scores: (batch, num_labels, rows, columns), of the padded input.
        size: (height, width) of the input before it was padded.
        divisor: What its sides were padded to multiples of; 1 for no padding.

    Returns:
        (batch, num_labels, height, width).
    """
    height, width = size
    scores = resize_bilinear(scores, (height + -height % divisor, width + -width % divisor))
    return scores[:, :, :height, :width].contiguous()


__all__ = [
    "Grid",
    "Padding",
    "Size",
    "cut_to_multiple",
    "fit_to_patches",
    "pad_around",
    "pad_to_multiple",
    "resize_bilinear",
    "resize_padded",
    "tokens_of",
]
