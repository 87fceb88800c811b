"""Overlay: a photo with its label map drawn over it, and a legend of the classes that occur."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segvit_hf.data.class_names import names_by_id
from segvit_hf.data.label_maps import DEFAULT_IGNORE_INDEX, read_label_map
from segvit_hf.files import atomic_path
from segvit_hf.visualization.legend import LegendEntry, add_legend
from segvit_hf.visualization.palettes import palette_array

# What is left of the brightness where a class is not among the highlighted ones.
_DIMMED = 0.35
# Rows blended at a time, to keep floating point copies of large photos small.
_BAND = 256


def overlay(
    image: Any,
    label_map: Any,
    id2label: Mapping[int, str] | Mapping[str, str],
    palette: Sequence[Sequence[int]] | np.ndarray | None = None,
    alpha: float = 0.5,
    legend: bool = True,
    *,
    highlight: Collection[int] | None = None,
    ignore_index: int = DEFAULT_IGNORE_INDEX,
    legend_position: str = "auto",
) -> Image.Image:
    """Draws a label map over its photo.

    Args:
        image: PIL image, or uint8 array (height, width, 3) or (height, width).
        label_map: Integer ids, numpy array, torch tensor (height, width) or PIL image, of the photo's size.
        id2label: Class id to name; string keys, as JSON has them, are fine.
        palette: One (red, green, blue) of 0 to 255 for each id. Default: generated, well-spread, always the same.
        alpha: Opacity of the colors, 0 (photo only) to 1 (colors only).
        legend: Whether the classes that occur are listed beside the picture: color, name, share of all pixels,
            largest first.
        highlight: Ids to color; the rest of the photo is darkened, and the legend lists these ids only. Default: all.
        ignore_index: Id that is left uncolored and out of the legend (default 255).
        legend_position: "right", "below" or "auto" (below a wide picture, to the right of others).

    Returns:
        RGB image: the photo at its own size at the top left, the legend outside it.

    Raises:
        ValueError: Sizes that differ, ids that are not integers or not in `id2label`, a palette that is too short, or
            an argument out of its range.
    """
    photo = _as_rgb(image)
    labels = _as_label_map(label_map)
    if labels.shape != photo.shape[:2]:
        raise ValueError(
            f"label_map has shape {labels.shape} (height, width) but the image has shape {photo.shape[:2]}; resize "
            "the logits to the image before taking the argmax."
        )
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must be from 0 to 1, found {alpha}.")
    if legend_position not in ("auto", "right", "below"):
        raise ValueError(f"legend_position must be 'auto', 'right' or 'below', found {legend_position!r}.")
    names = names_by_id(id2label)
    shares = {id_: pixels / labels.size for id_, pixels in _pixels_per_id(labels).items() if id_ != ignore_index}
    unnamed = [id_ for id_ in shares if id_ not in names]
    if unnamed:
        raise ValueError(f"label_map holds ids that id2label does not name: {unnamed[:10]}.")
    # Negative ids cannot index a palette even when they have a name.
    negative = [id_ for id_ in shares if id_ < 0]
    if negative:
        raise ValueError(f"label_map holds negative ids: {negative[:10]}.")

    colors = palette_array(palette, max(shares, default=-1) + 1)
    colored = [id_ for id_ in shares if highlight is None or id_ in highlight]
    picture = Image.fromarray(_blend(photo, labels, colors, colored, alpha, dim_others=highlight is not None))
    if not legend or not colored:
        return picture
    entries = [
        LegendEntry(names[id_], (int(colors[id_][0]), int(colors[id_][1]), int(colors[id_][2])), shares[id_])
        for id_ in sorted(colored, key=lambda id_: (-shares[id_], id_))
    ]
    return add_legend(picture, entries, legend_position)


def save_overlay(picture: Image.Image, path: str | Path) -> Path:
    """Writes a picture; the file appears under its name only when it is complete.

    Args:
        picture: What `overlay` returned.
        path: File name; its ending decides the format. Missing folders are made.

    Returns:
        The path.

    Raises:
        ValueError: An ending that is no picture format.
    """
    path = Path(path)
    known = Image.registered_extensions()
    if known.get(path.suffix.lower()) not in Image.SAVE:
        raise ValueError(f"{path}: {path.suffix or 'no ending'} is not a picture format; use .png or .jpg.")
    with atomic_path(path) as unfinished, unfinished.open("wb") as file:
        picture.save(file, format=known[path.suffix.lower()])
    return path


def _blend(
    photo: np.ndarray,
    labels: np.ndarray,
    colors: np.ndarray,
    colored: Sequence[int],
    alpha: float,
    dim_others: bool,
) -> np.ndarray:
    # One row more than there are colors: for pixels that keep their own.
    kept = np.full((len(colors) + 1, 1), _DIMMED if dim_others else 1.0, dtype=np.float32)
    added = np.zeros((len(colors) + 1, 3), dtype=np.float32)
    kept[colored] = 1 - alpha
    added[colored] = colors[colored] * np.float32(alpha)
    result = np.empty_like(photo)
    for top in range(0, len(photo), _BAND):
        band = slice(top, top + _BAND)
        known = (labels[band] >= 0) & (labels[band] < len(colors))
        rows = np.where(known, labels[band], len(colors))
        result[band] = np.rint(photo[band] * kept[rows] + added[rows]).astype(np.uint8)
    return result


def _pixels_per_id(labels: np.ndarray) -> dict[int, int]:
    if labels.min() >= 0 and labels.max() < 1 << 16:
        # Many times faster than sorting.
        pixels = np.bincount(labels.reshape(-1))
        return {int(id_): int(pixels[id_]) for id_ in np.flatnonzero(pixels)}
    return {int(id_): int(number) for id_, number in zip(*np.unique(labels, return_counts=True), strict=True)}


def _as_rgb(image: Any) -> np.ndarray:
    if isinstance(image, Image.Image):
        return np.asarray(image.convert("RGB"))
    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3):
        raise ValueError(f"image must be a PIL image or uint8 (height, width, 3), found {array.dtype} {array.shape}.")
    return array if array.ndim == 3 else np.repeat(array[..., None], 3, axis=2)


def _as_label_map(label_map: Any) -> np.ndarray:
    if isinstance(label_map, Image.Image):
        label_map = read_label_map(label_map)
    elif hasattr(label_map, "detach"):
        label_map = label_map.detach().cpu().numpy()
    array = np.asarray(label_map)
    if array.ndim != 2 or array.dtype.kind not in "iub" or array.size == 0:
        raise ValueError(f"label_map must be an integer array (height, width), found {array.dtype} {array.shape}.")
    return array.astype(np.int64)
