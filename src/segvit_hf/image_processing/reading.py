"""Reading photos and label maps of every usual kind into tensors, with checks.

Photos are read as `cv2.imread` reads them in the originals (EXIF orientation of files obeyed, alpha dropped, 16 bits
reduced to the upper 8, gray copied to three channels), but in RGB order.
"""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from segvit_hf._compat import load_image

IGNORE_INDEX = 255

LABEL_MAP_MODES = ("1", "L", "P", "I")


def flatten_images(images: Any) -> list[Any]:
    """A flat list of single images out of one image, a (nested) list of images or a batched array.

    Raises:
        ValueError: if the list is empty or the array has an unexpected number of dimensions.
        TypeError: for anything that is not an image.
    """
    if isinstance(images, (str, Path, Image.Image)):
        return [images]
    if isinstance(images, (np.ndarray, Tensor)):
        if images.ndim in (2, 3):
            return [images]
        if images.ndim == 4:
            return list(images)
        raise ValueError(f"images: an array must have 2, 3 or 4 dimensions, found shape {tuple(images.shape)}.")
    if isinstance(images, (list, tuple)):
        flat = [image for item in images for image in flatten_images(item)]
        if not flat:
            raise ValueError("images: expected at least one image, found an empty list.")
        return flat
    raise TypeError(
        f"images: expected PIL images, numpy arrays, torch tensors, file paths or lists of them, found {type(images)}."
    )


def load_file(source: str | Path, upright: bool = True) -> Image.Image:
    """The image behind a path, URL or base64 string; local files keep their mode (16 bits, palette).

    `upright` obeys the EXIF orientation. URLs and base64 strings are read by transformers and come out in RGB.
    """
    if os.path.isfile(source):
        with Image.open(source) as opened:
            opened.load()
            return ImageOps.exif_transpose(opened) if upright else opened.copy()
    if isinstance(source, Path):
        raise FileNotFoundError(f"{source}: no such image file.")
    return load_image(source)


def read_image(image: Any, convert_to_rgb: bool = True, input_data_format: str | None = None) -> Tensor:
    """One photo as a channels-first tensor.

    Args:
        image: PIL image of any mode, array or tensor (height, width), (height, width, channels) or
            (channels, height, width), or what `load_file` reads. uint8 is taken as it is, uint16 is reduced to its
            upper 8 bits, other integers must lie in 0..255, booleans become 0 and 255.
        convert_to_rgb: drop alpha, copy gray to three channels. Otherwise the channels are kept.
        input_data_format: "channels_first" or "channels_last"; inferred from the shape where `None`.

    Returns:
        (channels, height, width): uint8, or float32 for floating-point input. It may share the caller's memory.

    Raises:
        ValueError: for images without pixels, values out of range, a number of channels that is not 1, 3 or 4.
        TypeError: for anything that is not an image.
    """
    if isinstance(image, (str, Path)):
        image = load_file(image)
    if isinstance(image, Image.Image):
        pixels = torch.from_numpy(_pil_pixels(image, convert_to_rgb))
        input_data_format = "channels_last" if pixels.ndim == 3 else None
    elif isinstance(image, np.ndarray):
        pixels = _from_numpy(image)
    elif isinstance(image, Tensor):
        pixels = image.detach()
    else:
        raise TypeError(f"images: expected a PIL image, numpy array, torch tensor or path, found {type(image)}.")
    pixels = _channels_first(pixels, input_data_format)
    if 0 in pixels.shape:
        raise ValueError(f"images: found an image without pixels, shape {tuple(pixels.shape)}.")
    pixels = _eight_bits_or_float(pixels)
    if convert_to_rgb:
        if pixels.shape[0] not in (1, 3, 4):
            raise ValueError(f"images: expected 1, 3 or 4 channels, found shape {tuple(pixels.shape)}.")
        pixels = pixels.expand(3, -1, -1) if pixels.shape[0] == 1 else pixels[:3]
    return pixels


def _pil_pixels(image: Image.Image, convert_to_rgb: bool) -> np.ndarray:
    if image.mode.startswith("I;16"):
        return np.array(image).astype(np.uint16)
    if image.mode == "I":
        # 32-bit integers hold 16-bit PNGs in older Pillow releases; up to 255 they can only mean 8 bits
        values = np.array(image)
        sixteen_bits = values.size > 0 and values.min() >= 0 and 255 < values.max() < 65536
        return values.astype(np.uint16) if sixteen_bits else values
    if image.mode == "F" or not convert_to_rgb:
        return np.array(image)
    return np.array(image.convert("RGB"))


def _from_numpy(array: np.ndarray) -> Tensor:
    if array.dtype.kind not in "buif":
        raise TypeError(f"expected an array of integers or floating-point numbers, found dtype {array.dtype}.")
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def _channels_first(pixels: Tensor, input_data_format: str | None) -> Tensor:
    if pixels.ndim == 2:
        return pixels[None]
    if pixels.ndim != 3:
        raise ValueError(f"images: expected 2 or 3 dimensions, found shape {tuple(pixels.shape)}.")
    if input_data_format is None:
        first, last = pixels.shape[0] in (1, 3, 4), pixels.shape[-1] in (1, 3, 4)
        if not (first or last):
            raise ValueError(
                f"images: cannot tell the channels of shape {tuple(pixels.shape)}; expected 1, 3 or 4 channels first "
                "or last. Pass input_data_format for other images."
            )
        input_data_format = "channels_first" if first else "channels_last"
    return pixels.permute(2, 0, 1) if str(input_data_format).endswith("last") else pixels


def _eight_bits_or_float(pixels: Tensor) -> Tensor:
    if pixels.is_floating_point():
        pixels = pixels.to(torch.float32)
        if not bool(torch.isfinite(pixels).all()):
            raise ValueError("images: found a floating-point image with infinite or undefined values.")
        return pixels
    if pixels.dtype == torch.uint8:
        return pixels
    if pixels.dtype == torch.bool:
        return pixels.to(torch.uint8) * 255
    if pixels.dtype == torch.uint16:
        return (pixels.to(torch.int32) >> 8).to(torch.uint8)
    lowest, highest = int(pixels.min()), int(pixels.max())
    if lowest < 0 or highest > 255:
        raise ValueError(f"images: {pixels.dtype} pixels must lie in 0..255, found {lowest}..{highest}.")
    return pixels.to(torch.uint8)


def float_range_to_255(pixels: Tensor) -> Tensor:
    """Floating-point pixels in 0..255: those of an image whose values all lie in 0..1 are multiplied by 255.

    Raises:
        ValueError: for values outside of 0..255.
    """
    lowest, highest = float(pixels.min()), float(pixels.max())
    if lowest < 0 or highest > 255:
        raise ValueError(
            f"images: floating-point pixels must lie in 0..1 or in 0..255, found {lowest:g}..{highest:g}. "
            "Pass do_rescale=False for values in other units."
        )
    return pixels * 255 if highest <= 1 else pixels


def flatten_label_maps(segmentation_maps: Any, num_images: int) -> list[Any]:
    """A list with one label map per image.

    Raises:
        ValueError: if there are more or fewer label maps than images.
    """
    if isinstance(segmentation_maps, (np.ndarray, Tensor)) and segmentation_maps.ndim in (3, 4):
        # (3, height, width) can be three label maps or one RGB-coded mask: the number of images decides
        batched = segmentation_maps.shape[0] == num_images and (num_images > 1 or segmentation_maps.ndim == 4)
        maps = list(segmentation_maps) if batched else [segmentation_maps]
    elif isinstance(segmentation_maps, (list, tuple)):
        maps = [label_map for item in segmentation_maps for label_map in flatten_label_maps(item, num_images=1)]
    else:
        maps = [segmentation_maps]
    if len(maps) != num_images:
        raise ValueError(f"segmentation_maps: found {len(maps)} label maps for {num_images} images.")
    return maps


def read_label_map(label_map: Any, num_labels: int | None = None, reduce_labels: bool = False) -> Tensor:
    """One label map as a new int64 tensor (height, width), reduced and checked.

    Args:
        label_map: PIL image of mode 1, L, P (the palette's indices are the ids), I or I;16, integer array or tensor
            (height, width) with or without one channel, or a local file.
        num_labels: number of classes; ids that are neither below it (after the reduction) nor 255 are an error.
        reduce_labels: 0 becomes 255 (ignored), k becomes k - 1, 255 stays.

    Raises:
        ValueError: for masks with colors instead of ids, empty maps, negative or too large ids.
        TypeError: for floating-point maps and for anything that is not a label map.
    """
    if isinstance(label_map, (str, Path)):
        if not os.path.isfile(label_map):
            raise FileNotFoundError(f"segmentation_maps: {label_map}: no such local file.")
        label_map = load_file(label_map)
    if isinstance(label_map, Image.Image):
        if label_map.mode == "F":
            raise TypeError("segmentation_maps: expected integer ids, found a floating-point image (mode F).")
        if label_map.mode not in LABEL_MAP_MODES and not label_map.mode.startswith("I;16"):
            raise ValueError(
                "segmentation_maps: expected one id per pixel (PIL mode L, P, I or I;16), found mode "
                f"{label_map.mode}. Turn an RGB-coded mask into ids first."
            )
        ids = _from_numpy(np.array(label_map))
    elif isinstance(label_map, np.ndarray):
        ids = _from_numpy(label_map)
    elif isinstance(label_map, Tensor):
        ids = label_map.detach()
    else:
        raise TypeError(
            f"segmentation_maps: expected PIL images, arrays, tensors or local files, found {type(label_map)}."
        )
    if ids.ndim == 3 and 1 in (ids.shape[0], ids.shape[-1]):
        ids = ids[0] if ids.shape[0] == 1 else ids[..., 0]
    if ids.ndim != 2:
        raise ValueError(
            f"segmentation_maps: expected one id per pixel, (height, width), found shape {tuple(ids.shape)}. "
            "Turn an RGB-coded mask into ids first."
        )
    if ids.is_floating_point():
        raise TypeError(f"segmentation_maps: expected integer ids, found {ids.dtype}.")
    if ids.numel() == 0:
        raise ValueError(f"segmentation_maps: found a label map without pixels, shape {tuple(ids.shape)}.")
    ids = ids.to(torch.int64, copy=True)
    if int(ids.min()) < 0:
        raise ValueError(f"segmentation_maps: ids must not be negative, found {int(ids.min())}.")
    if reduce_labels:
        ids = torch.where((ids == 0) | (ids == IGNORE_INDEX), IGNORE_INDEX, ids - 1)
    if num_labels is not None:
        wrong = ids[(ids >= num_labels) & (ids != IGNORE_INDEX)]
        if wrong.numel():
            found = ", ".join(str(int(value)) for value in wrong.unique()[:8])
            after = " (after the reduction by one)" if reduce_labels else ""
            raise ValueError(
                f"segmentation_maps: ids{after} must be below num_labels={num_labels} or {IGNORE_INDEX}, "
                f"found {found}."
            )
    return ids


def per_channel(value: float | Sequence[float]) -> list[float]:
    """A number or a sequence of numbers as a list of finite floats."""
    values = [float(item) for item in value] if isinstance(value, Sequence) else [float(value)]
    if not all(math.isfinite(item) for item in values):
        raise ValueError(f"image_mean and image_std must be finite numbers, found {values}.")
    return values
