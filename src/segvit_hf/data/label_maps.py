"""Label maps, one class id per pixel: reading, reducing and checking, for image processors and data sets alike."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from segvit_hf.regular_files import check_regular_file

# What stands for "no class" unless somebody says otherwise; every default of the package is this one.
DEFAULT_IGNORE_INDEX = 255

# P: the palette indices are the ids, whatever the colors.
_ID_MODES = frozenset({"L", "P", "I", "I;16", "I;16L", "I;16B", "1"})
# By bits per value: the factor with which PIL makes the values of gray PNGs fill the range up to 255.
_STRETCH = {2: 85, 4: 17}


def read_label_map(label_map: Any, source: str = "label map") -> np.ndarray:
    """Reads the ids of one label map, as they are stored: not reduced, their range not checked.

    The EXIF orientation of a file is not obeyed, as it is not by the originals.

    Args:
        label_map: A local file, a PIL image of mode 1, L, P (its palette indices are the ids), I or I;16, or an array
            or tensor of integers or booleans (height, width), with or without one channel. PIL stretches the values
            of gray PNGs of 2 and 4 bits; this is undone for files and for images that `PIL.Image.open` returned,
            loaded or not. An image that was derived from such a one (`copy`, `resize`, ...), or whose file is gone,
            does not tell any more that it was stretched and is taken as it is: give the file.
        source: What errors call the map; files go by their own names.

    Returns:
        Integer array (height, width) of the dtype that the map has (uint8 for booleans). It may share the caller's
        memory.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file cannot be read, there are no pixels, or several values per pixel (RGB, RGBA, LA, ...);
            the message says how many colors there are and what to do.
        TypeError: Floating-point ids, or something that is no label map.
    """
    if isinstance(label_map, (str, Path)):
        return _read_file(Path(label_map))
    if isinstance(label_map, Image.Image):
        return _ids_of_image(label_map, source)
    if isinstance(label_map, torch.Tensor):
        if label_map.is_floating_point():  # numpy does not know all of torch's kinds
            raise TypeError(f"{source}: expected integer ids, found {label_map.dtype}.")
        label_map = label_map.detach().cpu().numpy()
    if not isinstance(label_map, np.ndarray):
        raise TypeError(f"{source}: expected PIL images, arrays, tensors or local files, found {type(label_map)}.")
    return _ids_of_array(label_map, source)


def reduce_zero_label(ids: np.ndarray, ignore_index: int = DEFAULT_IGNORE_INDEX) -> np.ndarray:
    """Ids of which 0 stands for no class and the classes count from 1, as ids of classes that count from 0.

    Args:
        ids: Integer array of any shape; it is not changed.
        ignore_index: What 0 becomes, and what stays as it is. Every other id k becomes k - 1.

    Returns:
        int64 array of the same shape.
    """
    ids = ids.astype(np.int64)
    return np.where((ids == 0) | (ids == ignore_index), ignore_index, ids - 1)


def class_ids(num_labels: int, reduce_zero_label: bool) -> range:
    """The ids that classes have in the files."""
    return range(1, num_labels + 1) if reduce_zero_label else range(num_labels)


def unexpected_ids(
    ids: np.ndarray,
    num_labels: int,
    ignore_index: int = DEFAULT_IGNORE_INDEX,
    reduce_zero_label: bool = False,
) -> np.ndarray:
    """The distinct ids that are neither a class nor `ignore_index` (nor 0 with `reduce_zero_label`), sorted."""
    present = np.unique(ids)
    expected = class_ids(num_labels, reduce_zero_label)
    known = (present >= expected.start) & (present < expected.stop) | (present == ignore_index)
    if reduce_zero_label:
        known |= present == 0
    return present[~known]


def check_label_range(
    segmentation_map: np.ndarray,
    num_labels: int,
    ignore_index: int = DEFAULT_IGNORE_INDEX,
    reduce_zero_label: bool = False,
    source: str = "segmentation_map",
) -> None:
    """Refuses a label map with ids that are no class and are not to be ignored.

    Args:
        segmentation_map: Integer array (height, width), ids as stored.
        num_labels: Number of classes.
        ignore_index: Id that stands for no class.
        reduce_zero_label: The map holds 0 for no class and 1 to `num_labels` for the classes.
        source: What the error calls the map.

    Raises:
        ValueError: There are such ids; the message lists them.
    """
    # Classes first: no sorting of all pixels when nothing is wrong.
    if (
        not reduce_zero_label
        and segmentation_map.size
        and 0 <= segmentation_map.min() <= segmentation_map.max() < num_labels
    ):
        return
    wrong = unexpected_ids(segmentation_map, num_labels, ignore_index, reduce_zero_label)
    if not len(wrong):
        return
    expected = class_ids(num_labels, reduce_zero_label)
    pixels = int(np.isin(segmentation_map, wrong).sum())
    shown = ", ".join(str(id_) for id_ in wrong[:10]) + (", ..." if len(wrong) > 10 else "")
    also = f"0 and {ignore_index} are ignored" if reduce_zero_label else f"{ignore_index} is ignored"
    raise ValueError(
        f"{source}: ids out of range in {pixels} pixels: {shown}; expected {expected.start} to {expected.stop - 1} "
        f"for {num_labels} classes ({also})."
    )


def _read_file(path: Path) -> np.ndarray:
    check_regular_file(path)
    try:
        with Image.open(path) as image:
            return _ids_of_image(image, "the file")
    except (OSError, SyntaxError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: the label map cannot be read: {error}") from error


def _ids_of_image(image: Image.Image, source: str) -> np.ndarray:
    if image.mode == "F":
        raise TypeError(f"{source}: expected integer ids, found a floating-point image (mode F).")
    stretch = _stretch(image)  # known best before the pixels are loaded
    if image.mode not in _ID_MODES:
        raise ValueError(
            f"{source}: expected one class id per pixel (PIL mode 1, L, P, I or I;16), found mode {image.mode} with "
            f"{_what_to_do(np.asarray(image.convert('RGB')))}"
        )
    ids = _ids_of_array(np.array(image), source)
    # Somebody who has changed a loaded image has written ids, which are no multiples.
    return ids // stretch if stretch > 1 and not (ids % stretch).any() else ids


def _ids_of_array(ids: np.ndarray, source: str) -> np.ndarray:
    if ids.dtype.kind not in "biu":
        raise TypeError(f"{source}: expected integer ids, found {ids.dtype}.")
    if ids.ndim == 3 and 1 in (ids.shape[0], ids.shape[-1]):
        ids = ids[0] if ids.shape[0] == 1 else ids[..., 0]
    if ids.ndim != 2:
        colors = np.moveaxis(ids, 0, -1) if ids.ndim == 3 and ids.shape[0] in (3, 4) else ids
        advice = _what_to_do(colors) if colors.ndim == 3 and colors.size else "no pixels."
        raise ValueError(
            f"{source}: expected one class id per pixel, (height, width), found shape {ids.shape}. If it is an "
            f"RGB-coded mask: it has {advice}"
        )
    if not ids.size:
        raise ValueError(f"{source}: expected a label map with pixels, found shape {ids.shape}.")
    return ids.astype(np.uint8) if ids.dtype == bool else ids


def _what_to_do(colors: np.ndarray) -> str:
    """The number of colors of a (height, width, channels) picture, and how it becomes a label map."""
    num_colors = len(np.unique(colors.reshape(-1, colors.shape[-1]), axis=0))
    if (colors == colors[..., :1]).all():
        advice = "its channels are equal, so saving one of them, as a one-channel PNG, is enough"
    else:
        advice = "replace each color by its class id and save the ids as a one-channel PNG (PIL mode L or P)"
    return f"{num_colors} different colors: {advice}."


def _stretch(image: Image.Image) -> int:
    """The factor by which PIL has multiplied, or will multiply, the stored values of an image."""
    if image.format != "PNG" or image.mode != "L":
        return 1
    tiles = getattr(image, "tile", [])
    bits = {"L;2": 2, "L;4": 4}.get(str(tiles[0][3])) if tiles else _bits_in_file(image)
    return _STRETCH.get(bits or 8, 1)


def _bits_in_file(image: Image.Image) -> int | None:
    """Bits per value of a loaded gray PNG: PIL has forgotten them, the header of its file has not."""
    name, stream = getattr(image, "filename", ""), getattr(image, "_fp", None)
    header = b""
    # The file may be gone, or closed: then nothing is known.
    with suppress(OSError, ValueError, AttributeError):
        if name:
            with open(name, "rb") as file:
                header = file.read(26)
        else:
            position = stream.tell()  # type: ignore[union-attr]
            stream.seek(0)  # type: ignore[union-attr]
            header = stream.read(26)  # type: ignore[union-attr]
            stream.seek(position)  # type: ignore[union-attr]
    size = int.from_bytes(header[16:20], "big"), int.from_bytes(header[20:24], "big")
    is_gray = len(header) == 26 and header[25] == 0
    return header[24] if is_gray and size == image.size else None


__all__ = [
    "DEFAULT_IGNORE_INDEX",
    "check_label_range",
    "class_ids",
    "read_label_map",
    "reduce_zero_label",
    "unexpected_ids",
]
