"""Streaming confusion matrix, and the mean IoU of semantic segmentation computed from it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from segvit_hf.data.label_maps import DEFAULT_IGNORE_INDEX, read_label_map, reduce_zero_label

# In no map, so that an `ignore_index` that is a class is reduced like the other classes.
_NO_ID = np.iinfo(np.int64).min


class ConfusionMatrix:
    """Counts of (reference class, predicted class) over all pixels seen so far.

    Memory is `num_labels` squared integers, whatever the number of images. Matrices of several processes are added
    with `merge` (or `+=`), or by summing `.matrix` across processes, for example with `accelerator.reduce`.

    Pixels whose reference is `ignore_index` do not count, whatever is predicted there. Other ids outside
    [0, num_labels) raise, because a histogram would lose them silently.

    Args:
        num_labels: Number of classes.
        ignore_index: Reference id that does not count (default 255).
        reduce_labels: The references hold 0 for "no class" and 1 to num_labels for the classes (ADE20K): 0 and 255
            become `ignore_index` and one is subtracted from the others. Predictions are not changed. Default False.
        label_map: Optional {original reference id: new reference id}, applied to the original references, all at once,
            before `reduce_labels`. Default None.

    Attributes:
        matrix: int64 array (num_labels, num_labels); rows are reference classes, columns predicted classes.

    Example:
        >>> confusion = ConfusionMatrix(num_labels=2)
        >>> confusion.update(predictions=np.array([[0, 1]]), references=np.array([[0, 0]]))
        >>> round(float(confusion.compute()["mean_iou"]), 2)
        0.25
    """

    def __init__(
        self,
        num_labels: int,
        ignore_index: int = DEFAULT_IGNORE_INDEX,
        reduce_labels: bool = False,
        label_map: Mapping[int, int] | None = None,
    ) -> None:
        if isinstance(num_labels, bool) or not isinstance(num_labels, (int, np.integer)) or num_labels < 1:
            raise ValueError(f"num_labels must be an integer of at least 1, found {num_labels!r}.")
        if isinstance(ignore_index, bool) or not isinstance(ignore_index, (int, np.integer)):
            raise ValueError(f"ignore_index must be an integer, found {ignore_index!r}.")
        self.num_labels = int(num_labels)
        self.ignore_index = int(ignore_index)
        self.reduce_labels = bool(reduce_labels)
        # JSON turns integer keys into strings.
        self.label_map = {int(old): int(new) for old, new in label_map.items()} if label_map else None
        self.matrix = np.zeros((self.num_labels, self.num_labels), dtype=np.int64)

    def __repr__(self) -> str:
        pixels = self.matrix.sum()
        return f"ConfusionMatrix(num_labels={self.num_labels}, ignore_index={self.ignore_index}, pixels={pixels})"

    def update(self, predictions: Any, references: Any) -> None:
        """Adds one label map, a batch of maps of one size, or a list of maps of any sizes.

        Args:
            predictions: Integer ids, numpy array, torch tensor or PIL image of shape (height, width) or
                (batch, height, width), or a list of (height, width) maps.
            references: The same shapes.

        Raises:
            ValueError: Shapes or numbers of maps differ, the ids are not integers, or ids are out of range. The matrix
                is left as it was before the map at fault.
        """
        for prediction, reference in paired_maps(predictions, references):
            self.add_counts(prediction, reference)

    def add_counts(self, predictions: np.ndarray, references: np.ndarray, counts: np.ndarray | None = None) -> None:
        """Adds pairs of ids, each `counts` times (once by default). All arguments: integer arrays of one shape."""
        references = self._mapped(references)
        counted = references != self.ignore_index
        if not counted.all():
            references, predictions = references[counted], predictions[counted]
            counts = counts[counted] if counts is not None else None
        self._check_range("predictions", predictions)
        self._check_range("references", references)
        pairs = references.reshape(-1).astype(np.int64) * self.num_labels + predictions.reshape(-1).astype(np.int64)
        if counts is None:
            self.matrix += np.bincount(pairs, minlength=self.num_labels**2).reshape(self.matrix.shape)
        else:
            # Not bincount's weights: they are floating point.
            np.add.at(self.matrix.reshape(-1), pairs, counts.reshape(-1))

    def merge(self, other: "ConfusionMatrix") -> "ConfusionMatrix":
        """Adds another matrix, for example that of another process, to this one and returns this one.

        Raises:
            ValueError: The other matrix has another num_labels, ignore_index, reduce_labels or label_map.
        """
        for setting in ("num_labels", "ignore_index", "reduce_labels", "label_map"):
            mine, theirs = getattr(self, setting), getattr(other, setting)
            if mine != theirs:
                raise ValueError(f"cannot merge confusion matrices of different {setting}: {mine} and {theirs}.")
        self.matrix += other.matrix
        return self

    def __iadd__(self, other: "ConfusionMatrix") -> "ConfusionMatrix":
        return self.merge(other)

    def reset(self) -> None:
        """Forgets everything seen so far."""
        self.matrix = np.zeros_like(self.matrix)

    def compute(self, nan_to_num: float | None = None) -> dict[str, Any]:
        """The measures of evaluate's `mean_iou`, under the same keys, in float64.

        Args:
            nan_to_num: Value that replaces NaN in every measure, after the means are taken. Default: NaN stays.

        Returns:
            `mean_iou`, `mean_accuracy` (means over the classes that are not NaN), `overall_accuracy`, and
            `per_category_iou`, `per_category_accuracy`: arrays (num_labels,). A class that occurs neither in the
            references nor in the predictions has an IoU of NaN, one that occurs in no reference an accuracy of NaN.
        """
        matrix = self.matrix.astype(np.float64)
        intersection = np.diag(matrix)
        reference_area, predicted_area = matrix.sum(axis=1), matrix.sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            iou = intersection / (reference_area + predicted_area - intersection)
            accuracy = intersection / reference_area
            overall_accuracy = intersection.sum() / reference_area.sum()
        results = {
            "mean_iou": _mean_without_nan(iou),
            "mean_accuracy": _mean_without_nan(accuracy),
            "overall_accuracy": overall_accuracy,
            "per_category_iou": iou,
            "per_category_accuracy": accuracy,
        }
        if nan_to_num is not None:
            results = {name: np.nan_to_num(value, nan=nan_to_num) for name, value in results.items()}
        return results

    def _mapped(self, references: np.ndarray) -> np.ndarray:
        """The references after `label_map` and `reduce_labels`."""
        if self.label_map is None and not self.reduce_labels:
            return references
        original = references.astype(np.int64)
        mapped = original.copy()
        for old, new in (self.label_map or {}).items():
            mapped[original == old] = new
        if not self.reduce_labels:
            return mapped
        # As evaluate does, before `ignore_index` acts: 255 stays "no class", unless it is one of so many classes.
        if self.num_labels < DEFAULT_IGNORE_INDEX:
            mapped[mapped == DEFAULT_IGNORE_INDEX] = 0
        if not 0 <= self.ignore_index < self.num_labels:
            mapped[mapped == self.ignore_index] = 0
        reduced = reduce_zero_label(mapped, ignore_index=_NO_ID)
        return np.where(reduced == _NO_ID, self.ignore_index, reduced)

    def _check_range(self, name: str, ids: np.ndarray) -> None:
        if ids.size == 0 or (ids.min() >= 0 and ids.max() < self.num_labels):
            return
        wrong = np.unique(ids[(ids < 0) | (ids >= self.num_labels)])
        shown = ", ".join(str(id_) for id_ in wrong[:10]) + (", ..." if len(wrong) > 10 else "")
        after = " (after label_map / reduce_labels)" if name == "references" and self._changes_references() else ""
        raise ValueError(
            f"{name} hold ids outside [0, {self.num_labels}){after}: {shown}. Only references may hold ignore_index "
            f"({self.ignore_index}); if the data set counts its classes from 1, set reduce_labels=True."
        )

    def _changes_references(self) -> bool:
        return self.label_map is not None or self.reduce_labels


def paired_maps(predictions: Any, references: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of integer arrays of equal shape out of two arrays or two lists of arrays.

    Raises:
        ValueError: Different numbers of maps, different shapes, or ids that are not integers.
    """
    prediction_maps, reference_maps = _as_maps(predictions), _as_maps(references)
    if len(prediction_maps) != len(reference_maps):
        raise ValueError(f"found {len(prediction_maps)} predictions but {len(reference_maps)} references.")
    pairs = []
    for index, (prediction, reference) in enumerate(zip(prediction_maps, reference_maps, strict=True)):
        for name, ids in (("prediction", prediction), ("reference", reference)):
            if ids.dtype.kind not in "iub":
                raise ValueError(
                    f"{name} {index} must hold integer class ids, found {ids.dtype}; take the argmax of logits first."
                )
        if prediction.shape != reference.shape:
            raise ValueError(
                f"prediction {index} has shape {prediction.shape} but its reference has shape {reference.shape}; "
                "resize the logits to the reference's size before taking the argmax."
            )
        pairs.append((prediction, reference))
    return pairs


def _as_maps(maps: Any) -> list[np.ndarray]:
    if isinstance(maps, (list, tuple)) and not _is_nested_numbers(maps):
        return [_as_array(item) for item in maps]
    array = _as_array(maps)
    return list(array) if array.ndim > 2 else [array]


def _is_nested_numbers(value: Any) -> bool:
    """True for a list of rows of plain numbers, that is one map written as Python lists."""
    return bool(value) and all(
        isinstance(row, (list, tuple)) and all(isinstance(item, int) for item in row) for row in value
    )


def _as_array(ids: Any) -> np.ndarray:
    if isinstance(ids, Image.Image):
        return read_label_map(ids)
    # Tensors on an accelerator or with a gradient do not convert by themselves.
    if hasattr(ids, "detach"):
        ids = ids.detach().cpu().numpy()
    return np.asarray(ids)


def _mean_without_nan(values: np.ndarray) -> np.float64:
    known = values[~np.isnan(values)]
    return known.mean() if known.size else np.float64("nan")
