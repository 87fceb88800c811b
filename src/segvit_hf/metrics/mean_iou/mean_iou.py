"""Mean intersection over union as an `evaluate.Metric` that streams and works offline.

`evaluate.load("<folder of this file>")` copies this script elsewhere, so it imports the package by its full name.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import evaluate

from segvit_hf.data.label_maps import DEFAULT_IGNORE_INDEX
from segvit_hf.metrics.mean_iou.confusion_matrix import ConfusionMatrix
from segvit_hf.metrics.mean_iou.pair_counts import PairCounts

_DESCRIPTION = """
Intersection over union (IoU) of a class: the pixels that are of this class both in the prediction and in the
reference, divided by those that are of this class in either. The mean IoU is the mean over the classes that occur.
Pixels are summed over all images before the division.
"""

_INPUTS = """
Args:
    predictions: List of predicted label maps (height, width) of integer ids, of any sizes, or a batch array.
    references: List of reference label maps of the same sizes.
    num_labels (`int`): number of classes.
    ignore_index (`int`, defaults to 255): reference id that does not count.
    nan_to_num (`float`, *optional*): replaces NaN (classes that do not occur) in the results.
    label_map (`dict`, *optional*): original reference id to new reference id, applied first and all at once.
    reduce_labels (`bool`, defaults to `False`): references count classes from 1, and 0 is no class (ADE20K).

Returns:
    `dict` of float64: mean_iou, mean_accuracy, overall_accuracy, per_category_iou and per_category_accuracy.
"""

_SETTINGS = ("num_labels", "ignore_index", "label_map", "reduce_labels")


class MeanIoU(evaluate.Metric):
    """evaluate's `mean_iou`, with the same arguments, keys and values, in memory independent of the number of images.

    `add_batch` and `add` count pairs of ids at once; no label map is kept, in memory or on disk. `num_labels`,
    `ignore_index`, `label_map` and `reduce_labels` may be given to the constructor, `evaluate.load` or `compute`; with
    `num_labels` given before, ids out of range raise in the batch in which they occur.

    Three ways to use several processes: `merge` the metrics, or sum `metric.confusion_matrix().matrix` across
    processes, or give `num_process`, `process_id` and a shared `cache_dir` (and an `experiment_id` for each run) as
    for every metric of evaluate: then `compute` returns the result of all processes on process 0 and None elsewhere.

    Example:
        >>> metric = MeanIoU(num_labels=2)
        >>> metric.add_batch(predictions=[np.array([[0, 1]])], references=[np.array([[0, 0]])])
        >>> float(metric.compute()["mean_iou"])
        0.25
    """

    def __init__(
        self,
        config_name: str | None = None,
        *,
        num_labels: int | None = None,
        ignore_index: int = DEFAULT_IGNORE_INDEX,
        label_map: Mapping[int, int] | None = None,
        reduce_labels: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(config_name, **kwargs)
        self.settings: dict[str, Any] = {
            "num_labels": num_labels,
            "ignore_index": ignore_index,
            "label_map": label_map,
            "reduce_labels": reduce_labels,
        }
        self.pair_counts = PairCounts()
        if num_labels is not None:
            self.confusion_matrix()  # refuses bad settings now
        if self.num_process > 1:
            # What an interrupted run left must not be counted.
            self._exchange_path(self.process_id).unlink(missing_ok=True)

    def __len__(self) -> int:
        """Number of label maps added since the last `compute`."""
        return self.pair_counts.num_maps

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": datasets.Image(), "references": datasets.Image()}),
        )

    def add_batch(self, *, predictions: Any = None, references: Any = None, **kwargs: Any) -> None:
        """Counts a batch of label maps; nothing is kept of them.

        Raises:
            ValueError: Unknown or missing arguments, shapes or numbers of maps that differ, ids that are not integers
                or (when num_labels is known) ids out of range; the batch is then not counted.
        """
        if kwargs or predictions is None or references is None:
            raise ValueError(f"add_batch takes predictions and references, both; found also {sorted(kwargs)}.")
        batch = PairCounts()
        batch.update(predictions, references)
        if self.settings["num_labels"] is not None:
            _confusion_matrix(batch, self.settings)
        self.pair_counts.merge(batch)

    def add(self, *, prediction: Any = None, reference: Any = None, **kwargs: Any) -> None:
        """Counts one predicted label map and its reference, both of shape (height, width)."""
        if kwargs or prediction is None or reference is None:
            raise ValueError(f"add takes prediction and reference, both; found also {sorted(kwargs)}.")
        self.add_batch(predictions=[prediction], references=[reference])

    def merge(self, other: "MeanIoU") -> "MeanIoU":
        """Adds what another metric has counted, for example in another process, and returns this one."""
        self.pair_counts.merge(other.pair_counts)
        return self

    def confusion_matrix(self, **settings: Any) -> ConfusionMatrix:
        """The confusion matrix of everything counted so far, under the constructor's settings or those given here.

        Raises:
            ValueError: `num_labels` is not known, or ids are out of range.
        """
        unknown = sorted(set(settings) - set(_SETTINGS))
        if unknown:
            raise TypeError(f"unknown settings {unknown}; known are {list(_SETTINGS)}.")
        return _confusion_matrix(self.pair_counts, {**self.settings, **settings})

    def compute(self, *, predictions: Any = None, references: Any = None, **kwargs: Any) -> dict[str, Any] | None:
        """The measures of all maps since the last call, after adding `predictions` and `references` if given.

        Settings given here replace those of the constructor.

        Returns:
            The results, or None on a process that is not process 0.

        Raises:
            ValueError: Nothing was counted, `num_labels` is not known, or ids are out of range.
        """
        before = self.pair_counts
        if predictions is not None or references is not None:
            # A copy, so that a call that fails below can be repeated without counting its maps twice.
            self.pair_counts = PairCounts()
            self.pair_counts.merge(before)
            try:
                self.add_batch(predictions=predictions, references=references)
                return self._finish(**kwargs)
            except Exception:
                self.pair_counts = before
                raise
        return self._finish(**kwargs)

    def _finish(self, **kwargs: Any) -> dict[str, Any] | None:
        if self.process_id != 0:
            self.pair_counts.save(self._exchange_path(self.process_id))
            self.pair_counts = PairCounts()
            return None
        if self.num_process > 1:
            self._collect()
        if not self.pair_counts.num_maps:
            raise ValueError("nothing to compute: call add_batch first, or give predictions and references.")
        results = self._compute(**kwargs)
        self.pair_counts = PairCounts()
        return results

    def _compute(self, *, nan_to_num: float | None = None, **settings: Any) -> dict[str, Any]:
        return self.confusion_matrix(**settings).compute(nan_to_num=nan_to_num)

    def _exchange_path(self, process_id: int) -> Path:
        return Path(self.data_dir) / f"{self.experiment_id}-{self.num_process}-{process_id}.npz"

    def _collect(self) -> None:
        """Adds the counts the other processes have written, waiting for them up to `timeout` seconds."""
        deadline = time.monotonic() + self.timeout
        for process_id in range(1, self.num_process):
            path = self._exchange_path(process_id)
            while not path.exists():
                if time.monotonic() > deadline:
                    raise TimeoutError(
                        f"process {process_id} of {self.num_process} has not written {path} within {self.timeout} s; "
                        "did it call compute, with the same cache_dir, experiment_id and num_process?"
                    )
                time.sleep(0.05)
            self.pair_counts.merge(PairCounts.load(path))
            path.unlink()


def _confusion_matrix(pair_counts: PairCounts, settings: dict[str, Any]) -> ConfusionMatrix:
    if settings["num_labels"] is None:
        raise ValueError("num_labels is not known: give it to the constructor, to evaluate.load or to compute.")
    confusion = ConfusionMatrix(**settings)
    references, predictions, pixels = pair_counts.arrays()
    confusion.add_counts(predictions, references, pixels)
    return confusion
