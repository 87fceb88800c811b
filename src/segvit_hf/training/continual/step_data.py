"""What a step of continual training sees of a data set: photos with its classes, and no other labels."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segvit_hf.data.label_maps import reduce_zero_label
from segvit_hf.data.label_sets import LabelSet
from segvit_hf.training.continual.plan import Setting
from segvit_hf.training.data.datasets import SegmentationDataset, StoredDataset
from segvit_hf.training.data.samples import SampleError


class StepDataset:
    """Some samples of a data set, their labels renamed, and ignored where they are not renamed.

    Args:
        dataset: Its maps hold class ids of the data.
        indices: The samples.
        model_ids: The model's id by that of the data, for the classes that are shown.
        ignore_index: Id that stands for no class.
    """

    def __init__(
        self, dataset: SegmentationDataset, indices: Sequence[int], model_ids: Mapping[int, int], ignore_index: int
    ) -> None:
        self.dataset = dataset
        self.indices = list(indices)
        self.model_ids = dict(model_ids)
        self.ignore_index = ignore_index

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> dict[str, Any]:
        item = self.dataset[self.indices[index]]
        return {**item, "segmentation_map": self._renamed(np.asarray(item["segmentation_map"]))}

    def _renamed(self, segmentation_map: np.ndarray) -> np.ndarray:
        table = np.full(max(self.model_ids) + 1, self.ignore_index, dtype=np.int64)
        table[list(self.model_ids)] = list(self.model_ids.values())
        known = (segmentation_map >= 0) & (segmentation_map < len(table)) & (segmentation_map != self.ignore_index)
        return np.where(known, table[np.where(known, segmentation_map, 0)], self.ignore_index)


def class_presence(dataset: StoredDataset, label_set: LabelSet, ignore_index: int) -> np.ndarray:
    """Which classes each sample shows, bool (num_samples, num_labels).

    A label map that cannot be read counts as showing all: training then says what is wrong with it.
    """
    presence = np.zeros((len(dataset.names), label_set.num_labels), dtype=bool)
    for index in range(len(dataset.names)):
        try:
            ids = dataset.read_annotation(index)
        except (OSError, ValueError, TypeError, SampleError):
            presence[index] = True
            continue
        ids = reduce_zero_label(ids, ignore_index) if label_set.reduce_zero_label else ids
        shown = np.unique(ids[ids != ignore_index])
        presence[index, shown[(shown >= 0) & (shown < label_set.num_labels)]] = True
    return presence


def select_samples(presence: np.ndarray, steps: Sequence[Sequence[int]], step: int, setting: Setting) -> list[int]:
    """The samples that a step trains on.

    Args:
        presence: Which classes each sample shows, see `class_presence`.
        steps: Ids of each step's classes.
        step: Number of the step, from 0.
        setting: `overlapped`: at least one of the step's classes. `disjoint`: and none of a later step's.
    """
    selected = presence[:, list(steps[step])].any(1)
    later = [class_id for classes in steps[step + 1 :] for class_id in classes]
    if setting == "disjoint" and later:
        selected &= ~presence[:, later].any(1)
    return np.flatnonzero(selected).tolist()


__all__ = ["StepDataset", "class_presence", "select_samples"]
