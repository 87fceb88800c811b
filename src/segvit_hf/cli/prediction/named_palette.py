"""The colors that `--palette` names."""

from collections.abc import Sequence
from pathlib import Path

from segvit_hf.data.label_sets import LabelSet, get_label_set, label_set_names, read_class_list

Palette = Sequence[Sequence[int]]

# Short names for what comes in several versions, the likeliest first.
_SHORT_NAMES = {
    "coco_stuff": ("coco_stuff_164k",),
    "pascal_context": ("pascal_context", "pascal_context_59"),
}


def find_palette(name: str, num_labels: int) -> Palette:
    """The colors of a data set's classes, or those of a file of classes.

    Args:
        name: `ade20k`, `cityscapes`, `pascal_context`, `coco_stuff`, another name of `get_label_set`, or a file that
            `read_class_list` reads (`name red green blue` a line).
        num_labels: Number of classes of the model; more colors are fine, fewer are not.

    Raises:
        ValueError, FileNotFoundError: No such palette, or it has too few colors.
    """
    label_set = _find_label_set(name, num_labels)
    if not label_set.palette:
        raise ValueError(f"--palette {name}: expected `name red green blue` lines, found classes without colors.")
    if len(label_set.palette) < num_labels:
        raise ValueError(
            f"--palette {name}: expected at least {num_labels} colors, one per class of the model, found "
            f"{len(label_set.palette)}."
        )
    return label_set.palette


def _find_label_set(name: str, num_labels: int) -> LabelSet:
    if Path(name).is_file():
        return read_class_list(name)
    names = _SHORT_NAMES.get(name, (name,))
    if names[0] not in label_set_names():
        known = sorted({*label_set_names(), *_SHORT_NAMES})
        raise ValueError(f"--palette {name}: expected a file of classes with colors, or one of {', '.join(known)}.")
    candidates = [get_label_set(candidate) for candidate in names]
    return next((found for found in candidates if len(found.classes) == num_labels), candidates[0])


__all__ = ["Palette", "find_palette"]
