"""An independent, slow mean IoU written from the definition of the measures, class by class."""

import numpy as np


def naive_mean_iou(predictions: list, references: list, num_labels: int, ignore_index: int = 255) -> dict:
    """The measures of evaluate's mean_iou; absent classes are NaN."""
    intersections, unions, areas = np.zeros(num_labels), np.zeros(num_labels), np.zeros(num_labels)
    for prediction, reference in zip(predictions, references, strict=True):
        counted = np.asarray(reference) != ignore_index
        for label in range(num_labels):
            predicted = (np.asarray(prediction) == label) & counted
            actual = (np.asarray(reference) == label) & counted
            intersections[label] += (predicted & actual).sum()
            unions[label] += (predicted | actual).sum()
            areas[label] += actual.sum()
    nan = np.full(num_labels, np.nan)
    iou = np.divide(intersections, unions, out=nan.copy(), where=unions > 0)
    accuracy = np.divide(intersections, areas, out=nan.copy(), where=areas > 0)
    return {
        "mean_iou": np.nanmean(iou),
        "mean_accuracy": np.nanmean(accuracy),
        "overall_accuracy": intersections.sum() / areas.sum(),
        "per_category_iou": iou,
        "per_category_accuracy": accuracy,
    }


def assert_same_measures(found: dict, expected: dict) -> None:
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(np.asarray(found[name]), np.asarray(value), err_msg=name)
        assert np.asarray(found[name]).dtype == np.float64, name


def random_maps(seed: int, num_labels: int, num_maps: int = 4, ignored: float = 0.2) -> tuple[list, list]:
    """Predictions and references of different sizes; a class of high id is absent from both."""
    rng = np.random.default_rng(seed)
    predictions, references = [], []
    for _ in range(num_maps):
        shape = tuple(rng.integers(3, 30, 2))
        predictions.append(rng.integers(0, max(num_labels - 1, 1), shape))
        reference = rng.integers(0, max(num_labels - 2, 1), shape)
        references.append(np.where(rng.random(shape) < ignored, 255, reference))
    return predictions, references
