"""Reading label maps: one-channel images whose values are class ids."""

from pathlib import Path

import numpy as np
from PIL import Image

# P: the palette indices are the ids, whatever the colors.
_ID_MODES = frozenset({"L", "P", "I", "I;16", "I;16L", "I;16B", "1"})


def read_label_map(path: str | Path) -> np.ndarray:
    """Reads the ids of a label map of PIL mode L, P (its palette indices), I;16, I or 1.

    Returns:
        Integer array (height, width): uint8, uint16 or int32, as the file has them.

    Raises:
        ValueError: the file cannot be read, or is color-coded (RGB, RGBA, LA, ...); the message names it, says how
            many colors it has and what to do.
    """
    try:
        with Image.open(path) as file:
            stretch = _stretch(file)
            file.load()
            if file.mode not in _ID_MODES:
                raise ValueError(_why_not_ids(file))
            array = np.array(file)
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{path}: the label map cannot be read: {error}") from error
    if array.dtype == bool:
        return array.astype(np.uint8)
    return array // stretch if stretch > 1 else array


def class_ids(num_labels: int, reduce_zero_label: bool) -> range:
    """The ids that classes have in the files."""
    return range(1, num_labels + 1) if reduce_zero_label else range(num_labels)


def unexpected_ids(
    ids: np.ndarray, num_labels: int, ignore_index: int = 255, reduce_zero_label: bool = False
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
    ignore_index: int = 255,
    reduce_zero_label: bool = False,
    source: str = "segmentation_map",
) -> None:
    """Raises a ValueError that names `source` when a map holds ids that are no class (and are not to be ignored)."""
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
        f"for {num_labels} classes ({also})"
    )


def _stretch(file: Image.Image) -> int:
    """The factor by which PIL multiplies the values of gray PNGs of 2 or 4 bits to fill the range up to 255."""
    raw_modes = {tile[3] for tile in getattr(file, "tile", []) if isinstance(tile[3], str)}
    return {"L;2": 85, "L;4": 17}.get(raw_modes.pop(), 1) if len(raw_modes) == 1 else 1


def _why_not_ids(file: Image.Image) -> str:
    array = np.asarray(file.convert("RGB"))
    num_colors = len(np.unique(array.reshape(-1, 3), axis=0))
    if (array == array[..., :1]).all():
        advice = "its channels are equal, so saving one of them, as a one-channel PNG, is enough"
    else:
        advice = "replace each color by its class id and save the ids as a one-channel PNG (PIL mode L or P)"
    return f"its mode is {file.mode}, with {num_colors} different colors, where class ids are expected: {advice}"
