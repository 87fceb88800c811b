"""The streaming confusion matrix against a naive count, and what it refuses."""

import numpy as np
import pytest
import torch
from PIL import Image

from segvit_hf.metrics import ConfusionMatrix
from tests.metrics.naive_mean_iou import assert_same_measures, naive_mean_iou, random_maps


@pytest.mark.parametrize("num_labels", [1, 2, 19, 150])
def test_measures_equal_a_naive_count(num_labels: int) -> None:
    predictions, references = random_maps(seed=num_labels, num_labels=num_labels)
    confusion = ConfusionMatrix(num_labels)
    for prediction, reference in zip(predictions, references, strict=True):
        confusion.update(prediction, reference)
    assert_same_measures(confusion.compute(), naive_mean_iou(predictions, references, num_labels))


def test_the_example_of_evaluates_documentation() -> None:
    predictions = [
        np.array([[1, 2], [3, 4], [5, 255]]),
        np.array([[2, 7], [9, 2], [3, 6]]),
        np.array([[2, 2, 3], [8, 2, 4], [3, 255, 2]]),
    ]
    references = [
        np.array([[0, 3], [5, 4], [6, 255]]),
        np.array([[1, 7], [9, 2], [3, 6]]),
        np.array([[1, 2, 2], [8, 2, 1], [3, 255, 1]]),
    ]
    confusion = ConfusionMatrix(num_labels=10)
    confusion.update(predictions, references)
    results = confusion.compute()
    assert results["mean_iou"] == pytest.approx(0.4775)
    assert results["mean_accuracy"] == pytest.approx(0.5916666666666666)
    assert results["overall_accuracy"] == pytest.approx(0.5263157894736842)
    np.testing.assert_allclose(results["per_category_iou"], [0, 0, 0.375, 0.4, 0.5, 0, 0.5, 1, 1, 1])
    np.testing.assert_allclose(results["per_category_accuracy"], [0, 0, 0.75, 2 / 3, 1, 0, 0.5, 1, 1, 1])


def test_rows_are_references_and_columns_predictions() -> None:
    confusion = ConfusionMatrix(3)
    confusion.update(predictions=np.array([[2, 2, 0]]), references=np.array([[1, 1, 255]]))
    assert confusion.matrix.dtype == np.int64
    assert confusion.matrix.tolist() == [[0, 0, 0], [0, 0, 2], [0, 0, 0]]


@pytest.mark.parametrize(
    "convert",
    [
        lambda array: array.astype(np.uint8),
        lambda array: array.astype(np.int32),
        lambda array: torch.from_numpy(array),
        lambda array: Image.fromarray(array.astype(np.uint8)),
        lambda array: array.tolist(),
    ],
)
def test_every_kind_of_map_counts_the_same(convert) -> None:
    (prediction,), (reference,) = random_maps(seed=3, num_labels=7, num_maps=1)
    expected, found = ConfusionMatrix(7), ConfusionMatrix(7)
    expected.update(prediction, reference)
    found.update(convert(prediction), convert(reference))
    assert found.matrix.tolist() == expected.matrix.tolist()
    assert found.matrix.sum() == (reference != 255).sum()


def test_a_batch_array_and_a_list_of_maps_count_the_same() -> None:
    rng = np.random.default_rng(0)
    predictions, references = rng.integers(0, 5, (2, 3, 8, 9))
    one, other, mixed = ConfusionMatrix(5), ConfusionMatrix(5), ConfusionMatrix(5)
    one.update(torch.from_numpy(predictions), torch.from_numpy(references))
    other.update(list(predictions), list(references))
    mixed.update(list(predictions), references)
    assert one.matrix.tolist() == other.matrix.tolist() == mixed.matrix.tolist()
    assert one.matrix.sum() == 3 * 8 * 9


def test_predictions_out_of_range_raise_and_change_nothing() -> None:
    confusion = ConfusionMatrix(3)
    with pytest.raises(ValueError, match=r"predictions hold ids outside \[0, 3\): -1, 3, 7"):
        confusion.update(np.array([[7, 3, -1, 0]]), np.array([[0, 0, 0, 0]]))
    assert not confusion.matrix.any()


def test_references_out_of_range_raise() -> None:
    with pytest.raises(ValueError, match=r"references hold ids outside \[0, 3\): 3, 254.*reduce_labels"):
        ConfusionMatrix(3).update(np.zeros((1, 3), int), np.array([[254, 3, 255]]))


def test_predictions_of_ignored_pixels_may_be_anything() -> None:
    confusion = ConfusionMatrix(3, ignore_index=-100)
    confusion.update(np.array([[255, 1]]), np.array([[-100, 1]]))
    assert confusion.matrix.tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("predictions", "references", "message"),
    [
        (np.zeros((2, 3), int), np.zeros((3, 2), int), r"shape \(2, 3\).*shape \(3, 2\)"),
        (np.zeros((2, 3)), np.zeros((2, 3), int), "integer class ids, found float64"),
        ([np.zeros((2, 3), int)] * 2, [np.zeros((2, 3), int)], "2 predictions but 1 references"),
    ],
)
def test_maps_that_do_not_fit_raise(predictions, references, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ConfusionMatrix(3).update(predictions, references)


@pytest.mark.parametrize("num_labels", [0, -1, 2.0, True, None])
def test_num_labels_must_be_a_positive_integer(num_labels) -> None:
    with pytest.raises(ValueError, match="num_labels"):
        ConfusionMatrix(num_labels)


@pytest.mark.parametrize("ignore_index", [255, -100, 400])
def test_reduce_labels_ignores_zero_and_shifts_the_rest(ignore_index: int) -> None:
    confusion = ConfusionMatrix(3, ignore_index=ignore_index, reduce_labels=True)
    references = np.array([[0, 1, 2, 3, ignore_index, 255]])
    confusion.update(np.array([[1, 0, 1, 0, 2, 2]]), references)
    assert confusion.matrix.tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 0]]
    assert references.tolist() == [[0, 1, 2, 3, ignore_index, 255]]


def test_reduce_labels_of_unsigned_bytes_does_not_wrap_around() -> None:
    confusion = ConfusionMatrix(150, reduce_labels=True)
    confusion.update(np.array([[149, 0]], np.uint8), np.array([[150, 0]], np.uint8))
    assert confusion.matrix.sum() == confusion.matrix[149, 149] == 1


def test_label_map_uses_the_original_labels() -> None:
    confusion = ConfusionMatrix(3, label_map={0: 1, 1: 0, "7": 2, 2: 255})
    confusion.update(np.array([[1, 0, 2, 0]]), np.array([[0, 1, 7, 2]]))
    assert confusion.matrix.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_label_map_comes_before_reduce_labels() -> None:
    confusion = ConfusionMatrix(2, label_map={1: 0, 9: 2}, reduce_labels=True)
    confusion.update(np.array([[0, 1]]), np.array([[1, 9]]))
    assert confusion.matrix.tolist() == [[0, 0], [0, 1]]


def test_merged_parts_equal_the_whole() -> None:
    predictions, references = random_maps(seed=5, num_labels=6, num_maps=6)
    whole, first, second = ConfusionMatrix(6), ConfusionMatrix(6), ConfusionMatrix(6)
    whole.update(predictions, references)
    first.update(predictions[:2], references[:2])
    second.update(predictions[2:], references[2:])
    assert first.merge(second) is first
    assert first.matrix.tolist() == whole.matrix.tolist()
    first += second
    assert (first.matrix - whole.matrix).tolist() == second.matrix.tolist()


def test_matrices_of_different_settings_do_not_merge() -> None:
    with pytest.raises(ValueError, match="different num_labels: 3 and 4"):
        ConfusionMatrix(3).merge(ConfusionMatrix(4))
    with pytest.raises(ValueError, match="different ignore_index"):
        ConfusionMatrix(3).merge(ConfusionMatrix(3, ignore_index=0))


@pytest.mark.filterwarnings("error")
def test_nothing_seen_gives_nan_and_nan_to_num_replaces_it() -> None:
    assert np.isnan(ConfusionMatrix(2).compute()["mean_iou"])
    results = ConfusionMatrix(2).compute(nan_to_num=0)
    assert results["mean_iou"] == results["overall_accuracy"] == 0
    assert results["per_category_iou"].tolist() == [0, 0]


def test_nan_to_num_does_not_change_the_means() -> None:
    confusion = ConfusionMatrix(3)
    confusion.update(np.array([[0, 1]]), np.array([[0, 1]]))
    assert np.isnan(confusion.compute()["per_category_iou"][2])
    results = confusion.compute(nan_to_num=-1)
    assert results["mean_iou"] == 1
    assert results["per_category_iou"].tolist() == [1, 1, -1]


def test_reset_forgets() -> None:
    confusion = ConfusionMatrix(2)
    confusion.update(np.array([[0]]), np.array([[1]]))
    confusion.reset()
    assert confusion.matrix.tolist() == [[0, 0], [0, 0]]
