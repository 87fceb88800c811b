"""Counts of (reference id, predicted id) pairs, before anything is known about classes."""

from pathlib import Path
from typing import Any

import numpy as np

from segvit_hf.files import atomic_path
from segvit_hf.metrics.mean_iou.confusion_matrix import paired_maps

# Up to this many cells a dense histogram (8 MiB) is faster than sorting the pixels.
_DENSE_CELLS = 1 << 20


class PairCounts:
    """How often each reference id met each predicted id; memory grows with the distinct pairs, not with the pixels.

    evaluate's interface tells the number of classes, the ignored id and the label map only when the result is
    computed. Counting raw pairs makes it possible to stream all the same: the rules are applied to them afterwards.

    Attributes:
        counts: {(reference id, predicted id): pixels}.
        num_maps: Label maps seen.
    """

    def __init__(self) -> None:
        self.counts: dict[tuple[int, int], int] = {}
        self.num_maps = 0

    def update(self, predictions: Any, references: Any) -> None:
        """Adds label maps; arguments and errors are those of `ConfusionMatrix.update`, but any id is accepted."""
        pairs = paired_maps(predictions, references)
        for prediction, reference in pairs:
            self._add(*_count_pairs(prediction.astype(np.int64), reference.astype(np.int64)))
        self.num_maps += len(pairs)

    def merge(self, other: "PairCounts") -> None:
        """Adds the counts of another process or another part of the data."""
        self._add(*other.arrays())
        self.num_maps += other.num_maps

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Reference ids, predicted ids and pixels: three int64 arrays (pairs,)."""
        table = np.array([(*pair, pixels) for pair, pixels in self.counts.items()], dtype=np.int64).reshape(-1, 3)
        return table[:, 0], table[:, 1], table[:, 2]

    def save(self, path: Path) -> None:
        """Writes the counts to `path`, which appears only when it is complete."""
        with atomic_path(path) as unfinished, unfinished.open("wb") as file:
            np.savez(file, pairs=np.stack(self.arrays()), num_maps=np.int64(self.num_maps))

    @classmethod
    def load(cls, path: Path) -> "PairCounts":
        """Reads what `save` wrote."""
        loaded = cls()
        with np.load(path, allow_pickle=False) as arrays:
            loaded._add(*arrays["pairs"])
            loaded.num_maps = int(arrays["num_maps"])
        return loaded

    def _add(self, references: np.ndarray, predictions: np.ndarray, pixels: np.ndarray) -> None:
        pairs = zip(references.tolist(), predictions.tolist(), strict=True)
        for pair, number in zip(pairs, pixels.tolist(), strict=True):
            self.counts[pair] = self.counts.get(pair, 0) + number


def _count_pairs(predictions: np.ndarray, references: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reference ids, predicted ids and pixels of the pairs in two int64 maps of one shape."""
    if references.size == 0:
        empty = np.zeros(0, dtype=np.int64)
        return empty, empty, empty
    first_reference, first_prediction = int(references.min()), int(predictions.min())
    width = int(predictions.max()) - first_prediction + 1
    cells = width * (int(references.max()) - first_reference + 1)
    if cells <= _DENSE_CELLS:
        histogram = np.bincount(
            ((references - first_reference) * width + (predictions - first_prediction)).reshape(-1)
        )
        pairs = np.flatnonzero(histogram)
        return pairs // width + first_reference, pairs % width + first_prediction, histogram[pairs]
    both, pixels = np.unique(np.stack([references.reshape(-1), predictions.reshape(-1)]), axis=1, return_counts=True)
    return both[0], both[1], pixels
