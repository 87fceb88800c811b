"""MeanIoU as a metric of evaluate: loading offline, streaming, the same values under the same arguments."""

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

import segvit_hf.metrics.mean_iou
from tests.metrics.naive_mean_iou import assert_same_measures, naive_mean_iou, random_maps

FOLDER = Path(segvit_hf.metrics.mean_iou.__file__).parent


@pytest.fixture
def metric(tmp_path: Path):
    return segvit_hf.metrics.mean_iou.MeanIoU(cache_dir=str(tmp_path))


def test_evaluate_loads_the_folder_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import evaluate

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(evaluate.config, "HF_EVALUATE_OFFLINE", True)
    loaded = evaluate.load(str(FOLDER), module_type="metric", cache_dir=str(tmp_path), num_labels=3)
    assert isinstance(loaded, evaluate.Metric)
    loaded.add_batch(predictions=[np.array([[0, 1]])], references=[np.array([[0, 2]])])
    assert loaded.compute()["overall_accuracy"] == 0.5


def test_compute_equals_a_naive_count(metric) -> None:
    predictions, references = random_maps(seed=1, num_labels=12)
    results = metric.compute(predictions=predictions, references=references, num_labels=12, ignore_index=255)
    assert_same_measures(results, naive_mean_iou(predictions, references, 12))


def test_batches_and_single_maps_add_up(metric) -> None:
    predictions, references = random_maps(seed=2, num_labels=5, num_maps=5)
    metric.add_batch(predictions=predictions[:3], references=references[:3])
    metric.add(prediction=torch.from_numpy(predictions[3]), reference=torch.from_numpy(references[3]))
    assert len(metric) == 4
    results = metric.compute(predictions=predictions[4:], references=references[4:], num_labels=5)
    assert_same_measures(results, naive_mean_iou(predictions, references, 5))


def test_compute_starts_anew(metric) -> None:
    metric.compute(predictions=[np.array([[0]])], references=[np.array([[1]])], num_labels=2)
    assert len(metric) == 0
    assert metric.compute(predictions=[np.array([[1]])], references=[np.array([[1]])], num_labels=2)["mean_iou"] == 1
    with pytest.raises(ValueError, match="nothing to compute"):
        metric.compute(num_labels=2)


def test_a_call_that_failed_can_be_repeated(metric) -> None:
    maps = {"predictions": [np.array([[0, 4]])], "references": [np.array([[0, 3]])]}
    with pytest.raises(ValueError, match="ids outside"):
        metric.compute(**maps, num_labels=3)
    assert len(metric) == 0
    assert metric.compute(**maps, num_labels=5)["overall_accuracy"] == 0.5


def test_settings_are_applied_when_they_come_last(metric) -> None:
    metric.add_batch(predictions=[np.array([[0, 1, 1]])], references=[np.array([[7, 0, 2]])])
    results = metric.compute(num_labels=2, label_map={7: 1}, reduce_labels=True)
    assert results["per_category_iou"].tolist() == [1, 1]


def test_nan_to_num(metric) -> None:
    maps = {"predictions": [np.array([[0]])], "references": [np.array([[0]])]}
    assert np.isnan(metric.compute(**maps, num_labels=2)["per_category_iou"][1])
    assert metric.compute(**maps, num_labels=2, nan_to_num=0)["per_category_iou"].tolist() == [1, 0]


def test_known_num_labels_refuse_wrong_ids_in_their_batch(tmp_path: Path) -> None:
    metric = segvit_hf.metrics.mean_iou.MeanIoU(num_labels=2, cache_dir=str(tmp_path))
    metric.add_batch(predictions=[np.array([[0]])], references=[np.array([[0]])])
    with pytest.raises(ValueError, match=r"predictions hold ids outside \[0, 2\): 2"):
        metric.add_batch(predictions=[np.array([[2]])], references=[np.array([[0]])])
    assert metric.compute()["mean_iou"] == 1


def test_ids_far_apart_are_counted(metric) -> None:
    metric.add_batch(predictions=[np.array([[0, 70000]])], references=[np.array([[-100, 70000]])])
    assert metric.pair_counts.counts == {(-100, 0): 1, (70000, 70000): 1}


@pytest.mark.parametrize("kwargs", [{}, {"references": [np.zeros((1, 1), int)]}, {"predictions": None, "x": 1}])
def test_missing_or_unknown_arguments_raise(metric, kwargs: dict) -> None:
    with pytest.raises(ValueError, match="predictions and references"):
        metric.add_batch(**kwargs)


def test_num_labels_must_be_known(metric) -> None:
    metric.add(prediction=np.array([[0]]), reference=np.array([[0]]))
    with pytest.raises(ValueError, match="num_labels is not known"):
        metric.compute()
    with pytest.raises(TypeError, match="unknown settings"):
        metric.compute(num_classes=2)


def test_memory_and_disk_do_not_grow_with_the_images(metric, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    prediction, reference = rng.integers(0, 20, (2, 200, 200))
    metric.add_batch(predictions=[prediction], references=[reference])
    tracemalloc.start()
    for _ in range(50):
        metric.add_batch(predictions=[prediction], references=[reference])
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept < prediction.nbytes / 4
    assert len(metric) == 51
    assert not [path for path, _, files in os.walk(tmp_path) if files]


def test_merge_adds_another_metric(tmp_path: Path) -> None:
    predictions, references = random_maps(seed=4, num_labels=4)
    first = segvit_hf.metrics.mean_iou.MeanIoU(cache_dir=str(tmp_path))
    second = segvit_hf.metrics.mean_iou.MeanIoU(cache_dir=str(tmp_path))
    first.add_batch(predictions=predictions[:1], references=references[:1])
    second.add_batch(predictions=predictions[1:], references=references[1:])
    results = first.merge(second).compute(num_labels=4)
    assert_same_measures(results, naive_mean_iou(predictions, references, 4))
