"""Evaluation counts every pixel once, at the photos' own sizes, exactly as a naive loop does."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from PIL import Image
from transformers import PreTrainedModel

import segvit_hf
from segvit_hf import SegVitForSemanticSegmentation, SegVitImageProcessor
from segvit_hf.training.data.datasets import reduce_zero_label
from segvit_hf.training.demo.scenes import CLASS_NAMES
from segvit_hf.training.evaluation import evaluate_model
from tests.training.conftest import Scenes
from tests.training.conftest import evaluate as main


@pytest.fixture
def model(model_folder: Path) -> PreTrainedModel:
    return SegVitForSemanticSegmentation.from_pretrained(model_folder)


class _Photos:
    """Four photos of four sizes; ids 0 to 5 and 255."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> dict[str, Any]:
        random = np.random.default_rng(index)
        height, width = 33 + 5 * index, 61 - 4 * index
        ids = random.integers(0, 7, (height, width))
        ids[ids == 6] = 255
        return {
            "image": random.integers(0, 256, (height, width, 3)).astype(np.uint8),
            "segmentation_map": ids,
            "name": str(index),
        }


def _naive(
    model: PreTrainedModel, processor: Any, scales: tuple[float, ...] = (1.0,), flip: bool = False
) -> np.ndarray:
    matrix = np.zeros((6, 6), dtype=np.int64)
    for index in range(4):
        item = _Photos()[index]
        prediction = segvit_hf.segment(model, processor, Image.fromarray(item["image"]), scales=scales, flip=flip)
        for reference, predicted in zip(item["segmentation_map"].ravel(), prediction.numpy().ravel(), strict=True):
            if reference != 255:
                matrix[reference, predicted] += 1
    return matrix


@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_confusion_matrix_equals_a_naive_loop(model: PreTrainedModel, batch_size: int) -> None:
    processor = SegVitImageProcessor(size={"shortest_edge": 40, "longest_edge": 160})
    model.train()
    result = evaluate_model(model, processor, _Photos(), Accelerator(cpu=True), batch_size=batch_size)
    assert model.training
    expected = _naive(model.eval(), processor)
    assert np.count_nonzero(expected.sum(axis=0)) > 1  # not one class everywhere
    np.testing.assert_array_equal(result.matrix, expected)
    union = expected.sum(axis=0) + expected.sum(axis=1) - np.diag(expected)
    np.testing.assert_allclose(result.iou, np.diag(expected) / union)
    assert result.overall_accuracy == pytest.approx(np.trace(expected) / expected.sum())


def test_scales_and_flip_are_those_of_segment(model: PreTrainedModel) -> None:
    processor = SegVitImageProcessor(size={"shortest_edge": 40, "longest_edge": 160})
    result = evaluate_model(model, processor, _Photos(), Accelerator(cpu=True), scales=(0.8, 1.2), flip=True)
    np.testing.assert_array_equal(result.matrix, _naive(model.eval(), processor, (0.8, 1.2), flip=True))


def test_evaluation_draws_no_random_numbers(model: PreTrainedModel) -> None:
    processor = SegVitImageProcessor(size={"shortest_edge": 40, "longest_edge": 160})
    state = torch.get_rng_state()
    evaluate_model(model, processor, _Photos(), Accelerator(cpu=True))
    assert torch.equal(state, torch.get_rng_state())


def test_the_script_prints_a_table_and_writes_json(
    model_folder: Path, scenes: Scenes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--model", str(model_folder), "--images", str(scenes.val_images)]
    flags += [
        "--annotations",
        str(scenes.val_annotations),
        "--workers",
        "0",
        "--output",
        str(tmp_path / "result.json"),
    ]
    assert main(flags) == 0
    printed = capsys.readouterr().out
    result = json.loads((tmp_path / "result.json").read_text())
    assert [entry["name"] for entry in result["per_class"]] == list(CLASS_NAMES)
    assert f"mIoU {100 * result['mean_iou']:.2f}" in printed
    assert all(name in printed for name in CLASS_NAMES)
    assert "(3 photos)" in printed


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--images", "IMAGES"], "--annotations: missing"),
        ([], "--images: expected two folders"),
        (
            ["--images", "IMAGES", "--annotations", "LABELS", "--label-set", "cityscapes"],
            "model's 6 classes, found 19",
        ),
        (["--images", "nowhere", "--annotations", "LABELS"], "nowhere, does not exist"),
        (["--layout", "ade20k"], "--data-root: missing"),
    ],
)
def test_wrong_flags_are_said(
    model_folder: Path, scenes: Scenes, flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = {"IMAGES": str(scenes.val_images), "LABELS": str(scenes.val_annotations)}
    status = main(["--model", str(model_folder), "--workers", "0", *(paths.get(flag, flag) for flag in flags)])
    assert status == 2
    assert message in capsys.readouterr().err


def test_a_class_list_changes_names_and_nothing_else(model_folder: Path, scenes: Scenes, tmp_path: Path) -> None:
    # A model whose label maps count from 1.
    reducing = tmp_path / "model"
    shutil.copytree(model_folder, reducing)
    SegVitImageProcessor(size={"shortest_edge": 40, "longest_edge": 160}, do_reduce_labels=True).save_pretrained(
        reducing
    )
    (tmp_path / "maps").mkdir()
    for path in scenes.val_annotations.iterdir():
        ids = np.array(Image.open(path)) + np.uint8(1)
        ids[0] = 0
        Image.fromarray(ids).save(tmp_path / "maps" / path.name)
    (tmp_path / "names.txt").write_text("\n".join(f"class {index}" for index in range(6)))
    words = ["--model", reducing, "--images", scenes.val_images, "--annotations", tmp_path / "maps", "--workers", "0"]
    assert main([*words, "--output", tmp_path / "own.json"]) == 0
    assert main([*words, "--classes", tmp_path / "names.txt", "--output", tmp_path / "given.json"]) == 0
    own, given = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("own", "given"))
    assert [entry.pop("name") for entry in given["per_class"]] == [f"class {index}" for index in range(6)]
    assert [entry.pop("name") for entry in own["per_class"]] == list(CLASS_NAMES)
    assert own == given
    # The flag says it otherwise: now the ids 1 to 6 are one too many.
    assert main([*words, "--no-reduce-zero-label"]) == 2


def test_labels_are_reduced_once() -> None:
    stored = np.array([[0, 1, 2], [150, 255, 3]], dtype=np.uint8)
    assert reduce_zero_label(stored, 255).tolist() == [[255, 0, 1], [149, 255, 2]]
