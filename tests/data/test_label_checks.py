"""The check of a whole data set's label maps before training."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segvit_hf.data import SegmentationFolders, check_labels


def dataset_of(root: Path, *label_maps: list) -> SegmentationFolders:
    for folder in ("images", "annotations"):
        (root / folder).mkdir()
    for index, label_map in enumerate(label_maps):
        ids = np.array(label_map, np.uint8)
        Image.fromarray(ids).save(root / f"annotations/{index}.png")
        Image.new("RGB", ids.shape[::-1]).save(root / f"images/{index}.png")
    return SegmentationFolders(root / "images", root / "annotations")


def test_good_labels_are_counted(tmp_path: Path) -> None:
    report = check_labels(dataset_of(tmp_path, [[0, 0, 255, 2]], [[0, 2, 2, 2]]), num_labels=4)
    assert report.ok
    assert report.pixels_per_class.tolist() == [3, 0, 4, 0]
    assert (report.classes_seen, report.classes_missing) == ([0, 2], [1, 3])
    assert report.fraction_ignored == pytest.approx(1 / 8)
    assert not report.suggestions
    assert "2 of 4 classes occur, 12.5 % of the pixels are ignored" in str(report)
    report.raise_for_problems()


def test_wrong_ids_come_with_files_and_counts(tmp_path: Path) -> None:
    report = check_labels(dataset_of(tmp_path, [[0, 9]], [[1, 1]], [[9, 9]]), num_labels=2)
    assert not report.ok
    assert list(report.wrong_ids) == [9]
    wrong = report.wrong_ids[9]
    assert (wrong.pixels, wrong.num_files, wrong.examples) == (3, 2, ["0", "2"])
    assert report.fraction_ignored == 0
    with pytest.raises(ValueError, match="id 9 is out of range: 3 pixels in 2 files \\(0, 2\\)"):
        report.raise_for_problems()


def test_reduced_labels_are_shifted_and_zero_is_ignored(tmp_path: Path) -> None:
    report = check_labels(dataset_of(tmp_path, [[0, 1, 3, 255]]), num_labels=3, reduce_zero_label=True)
    assert report.ok
    assert report.pixels_per_class.tolist() == [1, 0, 1]
    assert report.fraction_ignored == 0.5


@pytest.mark.parametrize(
    ("label_map", "num_labels", "reduce_zero_label", "suggestion"),
    [
        ([[1, 2, 3]], 3, False, "count from 1"),
        ([[0, 1, 2]], 3, True, "count from 0"),
        ([[7, 33, 1]], 19, False, "labelTrainIds"),
        ([[0, 255, 255]], 2, False, "must become 0 and 1"),
        ([[255, 255]], 2, False, "is ignore_index right"),
    ],
)
def test_usual_mistakes_get_a_suggestion(
    tmp_path: Path, label_map: list, num_labels: int, reduce_zero_label: bool, suggestion: str
) -> None:
    report = check_labels(dataset_of(tmp_path, label_map), num_labels, reduce_zero_label=reduce_zero_label)
    assert len(report.suggestions) == 1
    assert suggestion in report.suggestions[0]
    assert suggestion in str(report)


def test_nothing_but_ignored_pixels_is_a_problem(tmp_path: Path) -> None:
    assert not check_labels(dataset_of(tmp_path, [[255, 255]]), num_labels=2).ok


def test_a_limited_number_of_files_is_spread_over_the_data(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, *([[index]] for index in range(6)))
    report = check_labels(dataset, num_labels=6, max_files=3)
    assert (report.num_files, report.num_files_total) == (3, 6)
    assert report.classes_seen == [0, 2, 4]
    assert check_labels(dataset, num_labels=6, max_files=99).num_files == 6


@pytest.mark.parametrize("kwargs", [{"num_labels": 0}, {"num_labels": 2, "max_files": 0}])
def test_numbers_below_one_raise(tmp_path: Path, kwargs: dict) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        check_labels(dataset_of(tmp_path, [[0]]), **kwargs)
