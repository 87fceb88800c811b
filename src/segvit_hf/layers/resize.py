"""Sizes of feature maps and images: bilinear resizes, padding to multiples, and the way back."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F

# Rows and columns of a feature map; height and width of an image.
Grid = tuple[int, int]
Size = tuple[int, int]
# What becomes of sides that are no multiples of the patch size, see `fit_to_patches`.
PatchFit = Literal["pad", "center", "cut"]


def resize_bilinear(maps: torch.Tensor, size: Sequence[int], *, align_corners: bool = False) -> torch.Tensor:
    """(batch, channels, rows, columns) -> (batch, channels, *size), without antialiasing."""
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=align_corners)


def pad_to_multiple(maps: torch.Tensor, divisor: int, value: float = 0.0) -> torch.Tensor:
    """(..., height, width), filled up with `value` at the bottom and at the right to multiples of `divisor`."""
    height, width = maps.shape[-2:]
    return F.pad(maps, (0, -width % divisor, 0, -height % divisor), value=value)


def fit_to_patches(maps: torch.Tensor, patch_size: int, patch_fit: PatchFit) -> torch.Tensor:
    """Brings an input to sides that are multiples of the patch size.

    Args:
        maps: (..., height, width).
        patch_size: Side of a patch.
        patch_fit: `"pad"` adds zeros at the bottom and at the right; `"center"` on all sides, the larger half at the
            bottom and at the right; `"cut"` leaves out the last rows and columns, where a patch is left.

    Returns:
        (..., new height, new width).
    """
    if patch_fit == "pad":
        return pad_to_multiple(maps, patch_size)
    height, width = maps.shape[-2:]
    if patch_fit == "center":
        rows, columns = -height % patch_size, -width % patch_size
        return F.pad(maps, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
    rows, columns = max(height // patch_size, 1) * patch_size, max(width // patch_size, 1) * patch_size
    return F.pad(maps, (0, columns - width, 0, rows - height))  # negative padding cuts


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


__all__ = ["Grid", "PatchFit", "Size", "fit_to_patches", "pad_to_multiple", "resize_bilinear", "resize_padded"]
