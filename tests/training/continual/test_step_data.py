"""What a step sees: photos with its classes, labels of no others."""

import numpy as np
import pytest

from segvit_hf.data import LabelSet
from segvit_hf.training.continual.step_data import StepDataset, class_presence, select_samples

STEPS = [[0, 1], [3], [2]]


class Maps:
    """Stored label maps that count from 1; one of them cannot be read."""

    names = ["first", "broken", "second"]

    def read_annotation(self, index: int) -> np.ndarray:
        if index == 1:
            raise ValueError("broken")
        return np.array([[0, 1, 255]] if index == 0 else [[4, 4, 2]])


def test_presence_is_that_of_class_ids() -> None:
    label_set = LabelSet("letters", tuple("abcd"), reduce_zero_label=True)
    presence = class_presence(Maps(), label_set, 255)
    assert presence.astype(int).tolist() == [[1, 0, 0, 0], [1, 1, 1, 1], [0, 1, 0, 1]]


@pytest.mark.parametrize(
    ("step", "setting", "expected"),
    [
        (0, "overlapped", [0, 1, 3, 4]),
        (0, "disjoint", [0]),
        (1, "overlapped", [1, 2, 4]),
        (1, "disjoint", [1, 2]),
        (2, "overlapped", [3, 4]),
        (2, "disjoint", [3, 4]),
    ],
)
def test_photos_of_a_step(step: int, setting: str, expected: list[int]) -> None:
    shown = [[0, 1], [0, 3], [3], [1, 2], [0, 2, 3], []]
    presence = np.array([[class_id in row for class_id in range(4)] for row in shown])
    assert select_samples(presence, STEPS, step, setting) == expected


def test_labels_outside_the_step_are_ignored_and_the_others_renamed() -> None:
    maps = [{"segmentation_map": np.array([[0, 1, 2, 3, 255, 9]]), "name": "x"}] * 2
    dataset = StepDataset(maps, [1], {3: 2, 1: 0}, 255)
    assert len(dataset) == 1
    item = dataset[0]
    assert item["name"] == "x"
    assert item["segmentation_map"].tolist() == [[255, 0, 255, 2, 255, 255]]


def test_an_ignored_id_that_is_a_class_stays_ignored() -> None:
    dataset = StepDataset([{"segmentation_map": np.array([[0, 1]])}], [0], {0: 0, 1: 1}, 0)
    assert dataset[0]["segmentation_map"].tolist() == [[0, 1]]
