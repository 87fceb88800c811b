"""A look at all label maps before training: which classes occur, which ids are wrong, how much is ignored."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from segvit_hf.data.label_maps import DEFAULT_IGNORE_INDEX, unexpected_ids

_WHITE = 255


class LabelMapSource(Protocol):
    """What `check_labels` reads from; `SegmentationFolders` is one."""

    names: list[str]

    def read_annotation(self, index: int) -> np.ndarray:
        """The label map `index`, integer array (height, width), ids as stored."""
        ...


@dataclass
class WrongId:
    """An id that is no class: how many pixels have it, in how many files, and the first few of those."""

    pixels: int = 0
    num_files: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass
class LabelReport:
    """What `check_labels` found.

    Attributes:
        num_files: Label maps read.
        num_files_total: Label maps in the data set.
        pixels_per_class: int64 array (num_labels,), after `reduce_zero_label`.
        fraction_ignored: Share of the pixels that count for no class on purpose (`ignore_index`, and 0 with
            `reduce_zero_label`); 0 to 1.
        wrong_ids: Id in the files -> where it was found.
        suggestions: What is probably wrong and what to do.
    """

    num_files: int
    num_files_total: int
    pixels_per_class: np.ndarray
    fraction_ignored: float
    wrong_ids: dict[int, WrongId]
    suggestions: list[str]

    @property
    def ok(self) -> bool:
        """True when every id is a class or ignored, and at least one pixel has a class."""
        return not self.wrong_ids and bool(self.pixels_per_class.any())

    @property
    def classes_seen(self) -> list[int]:
        """Ids of the classes that occur."""
        return [int(index) for index in np.flatnonzero(self.pixels_per_class)]

    @property
    def classes_missing(self) -> list[int]:
        """Ids of the classes that occur in no file that was read."""
        return [int(index) for index in np.flatnonzero(self.pixels_per_class == 0)]

    def __str__(self) -> str:
        num_labels = len(self.pixels_per_class)
        lines = [
            f"{self.num_files} of {self.num_files_total} label maps read: {len(self.classes_seen)} of {num_labels} "
            f"classes occur, {100 * self.fraction_ignored:.1f} % of the pixels are ignored"
        ]
        if self.classes_missing:
            lines.append(f"classes that do not occur: {_some(self.classes_missing)}")
        for id_, wrong in self.wrong_ids.items():
            lines.append(
                f"id {id_} is out of range: {wrong.pixels} pixels in {wrong.num_files} files ({_some(wrong.examples)})"
            )
        return "\n".join(lines + [f"suggestion: {suggestion}" for suggestion in self.suggestions])

    def raise_for_problems(self) -> None:
        """Raises a ValueError with the whole report unless the labels are `ok`."""
        if not self.ok:
            raise ValueError(f"the label maps do not fit the {len(self.pixels_per_class)} classes\n{self}")


def check_labels(
    dataset: LabelMapSource,
    num_labels: int,
    ignore_index: int = DEFAULT_IGNORE_INDEX,
    reduce_zero_label: bool = False,
    max_files: int | None = None,
) -> LabelReport:
    """Reads the label maps of a data set and reports the ids that do not fit the classes, without raising for them.

    Args:
        dataset: Usually `SegmentationFolders`.
        num_labels: Number of classes.
        ignore_index: Id that stands for no class (default 255).
        reduce_zero_label: The files hold 0 for no class and 1 to num_labels for the classes (default False).
        max_files: At most so many maps are read, spread evenly over the data set. Default: all.

    Raises:
        ValueError: A label map cannot be read or is color-coded; `num_labels` or `max_files` is below 1.
    """
    if num_labels < 1 or (max_files is not None and max_files < 1):
        raise ValueError(f"num_labels and max_files must be at least 1, found {num_labels} and {max_files}.")
    total = len(dataset.names)
    chosen = range(total)
    if max_files is not None and max_files < total:
        chosen = [index * total // max_files for index in range(max_files)]  # type: ignore[assignment]
    pixels_per_id: dict[int, int] = {}
    wrong_ids: dict[int, WrongId] = {}
    for index in chosen:
        ids, pixels = np.unique(dataset.read_annotation(index), return_counts=True)
        numbers: dict[int, int] = dict(zip(ids.tolist(), pixels.tolist(), strict=True))
        for id_, number in numbers.items():
            pixels_per_id[id_] = pixels_per_id.get(id_, 0) + number
        for id_ in unexpected_ids(ids, num_labels, ignore_index, reduce_zero_label).tolist():
            wrong = wrong_ids.setdefault(id_, WrongId())
            wrong.pixels += numbers[id_]
            wrong.num_files += 1
            if len(wrong.examples) < 5:
                wrong.examples.append(dataset.names[index])

    first = 1 if reduce_zero_label else 0
    class_pixels = [
        pixels_per_id.get(id_ + first, 0) if id_ + first != ignore_index else 0 for id_ in range(num_labels)
    ]
    pixels_per_class = np.array(class_pixels, dtype=np.int64)
    all_pixels = sum(pixels_per_id.values())
    counted = int(pixels_per_class.sum()) + sum(wrong.pixels for wrong in wrong_ids.values())
    return LabelReport(
        num_files=len(chosen),
        num_files_total=total,
        pixels_per_class=pixels_per_class,
        fraction_ignored=1 - counted / all_pixels if all_pixels else 0.0,
        wrong_ids=dict(sorted(wrong_ids.items())),
        suggestions=_suggestions(set(pixels_per_id) - {ignore_index}, num_labels, ignore_index, reduce_zero_label),
    )


def _suggestions(ids: set[int], num_labels: int, ignore_index: int, reduce_zero_label: bool) -> list[str]:
    """Usual mistakes that would explain the ids seen (`ignore_index` is not among them)."""
    found = []
    if not ids:
        found.append(f"every pixel is {ignore_index}, which is ignored: is ignore_index right?")
    elif not reduce_zero_label and max(ids) == num_labels:
        found.append(
            f"the ids go up to {num_labels} for {num_labels} classes, so they seem to count from 1, with 0 for no "
            "class: set reduce_zero_label (do_reduce_labels in the image processor)"
        )
    elif reduce_zero_label and 0 in ids and max(ids) == num_labels - 1:
        found.append(
            f"the ids go from 0 to {num_labels - 1}, so they seem to count from 0, and reduce_zero_label throws "
            f"class 0 away: keep it only if the id {num_labels} just does not occur"
        )
    elif max(ids) > num_labels and not 0 <= ignore_index < num_labels:
        found.append(
            f"the largest id is {max(ids)}: is num_labels ({num_labels}) right, and are these training ids "
            "(Cityscapes: *_labelTrainIds.png, not *_labelIds.png)?"
        )
    if ids == {0} and ignore_index == _WHITE and num_labels > 1:
        found.append("only 0 and perhaps 255, which is ignored, occur: masks saved as 0 and 255 must become 0 and 1")
    return found


def _some(values: Sequence[object]) -> str:
    return ", ".join(str(value) for value in values[:10]) + (", ..." if len(values) > 10 else "")
