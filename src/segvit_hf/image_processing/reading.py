"""Reading photos and label maps of every usual kind into tensors, with checks.

Photos are read as `cv2.imread` reads them in the originals (EXIF orientation of files obeyed, alpha dropped, 16 bits
reduced to the upper 8, gray copied to three channels), but in RGB order.
"""

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from segvit_hf._compat import load_image
from segvit_hf.data import label_maps
from segvit_hf.messages import one_line
from segvit_hf.regular_files import check_regular_file

_CHANNELS = (1, 3, 4)
_FLOAT_FIELDS = ("image_mean", "image_std", "rescale_factor")
# A base64 string can have megabytes; a message should not.
_LONGEST_SOURCE = 100
_LONGEST_REASON = 300


def flatten_images(images: Any) -> list[Any]:
    """A flat list of single images out of one image, a (nested) list of images or a batched array.

    Raises:
        ValueError: The list is empty or the array has an unexpected number of dimensions.
        TypeError: Anything that is not an image.
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


def load_file(source: str | Path) -> Image.Image:
    """The photo behind a path, URL or base64 string, upright; local files keep their mode (16 bits, palette).

    URLs and base64 strings are read by transformers and come out in RGB.

    Raises:
        FileNotFoundError: No such file.
        ValueError: An empty path, a folder, a pipe or a device, or an address or string that gives no photo.
        OSError: The file is damaged or no picture.
    """
    if isinstance(source, Path) or not source or os.path.exists(source):
        check_regular_file(source)
        with Image.open(source) as opened:
            opened.load()
            return ImageOps.exif_transpose(opened)
    try:
        return load_image(source)
    except Exception as error:  # those of the HTTP client, and of whatever lies there
        shown = source if len(source) <= _LONGEST_SOURCE else f"{source[:_LONGEST_SOURCE]}..."
        reason = one_line(str(error).replace(source, "it") or type(error).__name__, longest=_LONGEST_REASON)
        raise ValueError(
            f"{shown}: expected a file, the address of a photo or a base64 string, and could not read it: {reason}"
        ) from error


def read_image(image: Any, convert_to_rgb: bool = True, input_data_format: str | None = None) -> Tensor:
    """One photo as a channels-first tensor.

    Args:
        image: PIL image of any mode, array or tensor (height, width), (height, width, channels) or
            (channels, height, width), or what `load_file` reads. uint8 is taken as it is, uint16 is reduced to its
            upper 8 bits, other integers must lie in 0..255, booleans become 0 and 255.
        convert_to_rgb: Drop alpha, copy gray to three channels. Otherwise the channels are kept.
        input_data_format: "channels_first" or "channels_last". `None`: the channels are where the shape has 1, 3 or 4;
            a shape that has them at both ends is an error.

    Returns:
        (channels, height, width): uint8, or float32 for floating-point input. It may share the caller's memory.

    Raises:
        ValueError: Images without pixels, values out of range, a number of channels that is not 1, 3 or 4, or a shape
            such as (1, 50, 3) that could be read either way.
        TypeError: Anything that is not an image.
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
        first, last = pixels.shape[0] in _CHANNELS, pixels.shape[-1] in _CHANNELS
        if first == last:
            problem = "could have its channels first or last" if first else "has no 1, 3 or 4 channels first or last"
            raise ValueError(
                f"images: cannot tell the channels of shape {tuple(pixels.shape)}, which {problem}: say where they "
                'are with input_data_format="channels_first" or "channels_last".'
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
        ValueError: Values outside of 0..255.
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
        ValueError: There are more or fewer label maps than images.
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


def read_labels(
    segmentation_map: Any,
    *,
    num_labels: int | None = None,
    ignore_index: int = label_maps.DEFAULT_IGNORE_INDEX,
    reduce_zero_label: bool = False,
    source: str = "segmentation_map",
) -> Tensor:
    """One label map as labels for training: read, checked and reduced.

    Args:
        segmentation_map: What `read_label_map` reads.
        num_labels: Number of classes; ids that are neither a class nor `ignore_index` are then an error.
        ignore_index: Id that stands for no class.
        reduce_zero_label: Whether 0 becomes `ignore_index`, and every other id k becomes k - 1.
        source: What errors call the map.

    Returns:
        A new int64 tensor (height, width) on the CPU.

    Raises:
        ValueError, TypeError, FileNotFoundError: As `read_label_map`; and for negative or too large ids.
    """
    ids = label_maps.read_label_map(segmentation_map, source)
    if num_labels is not None:
        label_maps.check_label_range(ids, num_labels, ignore_index, reduce_zero_label, source)
    elif ids.min() < 0 and (ids[ids != ignore_index] < 0).any():
        raise ValueError(f"{source}: ids must not be negative, found {int(ids[ids != ignore_index].min())}.")
    if reduce_zero_label:
        return torch.from_numpy(label_maps.reduce_zero_label(ids, ignore_index))
    return torch.from_numpy(ids.astype(np.int64))


def with_floats(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with `image_mean`, `image_std` and `rescale_factor` as floats; JSON and YAML may hold integers."""
    return {name: _as_floats(value) if name in _FLOAT_FIELDS else value for name, value in fields.items()}


def _as_floats(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(_as_floats(item) for item in value)
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def per_channel(value: float | Sequence[float]) -> list[float]:
    """A number or a sequence of numbers as a list of finite floats."""
    values = [float(item) for item in value] if isinstance(value, Sequence) else [float(value)]
    if not all(math.isfinite(item) for item in values):
        raise ValueError(f"image_mean and image_std must be finite numbers, found {values}.")
    return values
