"""An ignore index other than 255 is obeyed from the label maps to the saved model."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from transformers import AutoModelForSemanticSegmentation

from segvit_hf import SegVitImageProcessor
from segvit_hf.data import LabelSet, TrainingAugmentation
from segvit_hf.training.data.datasets import ClassIdDataset
from segvit_hf.training.data.loading import TrainingCrop, TrainingCropDataset
from segvit_hf.training.data.sampling import SampleRequest
from segvit_hf.training.run_log import read_log
from tests.training.conftest import Scenes, evaluate, finetune

IGNORED = 200


@pytest.fixture(scope="module")
def maps(scenes: Scenes, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The scenes' label maps with a border, a third of each, that is to be ignored."""
    folders = {}
    for part in ("train", "val"):
        folders[part] = tmp_path_factory.mktemp("maps") / part
        folders[part].mkdir()
        for path in (scenes.root / part / "annotations").iterdir():
            ids = np.array(Image.open(path))
            ids[:, : ids.shape[1] // 3] = IGNORED
            Image.fromarray(ids).save(folders[part] / path.name)
    return folders


def test_a_run_trains_and_evaluates(scenes: Scenes, maps: dict[str, Path], tmp_path: Path) -> None:
    flags = [*scenes.flags, "--train-annotations", maps["train"], "--val-annotations", maps["val"], "--max-steps", "2"]
    # The crop is higher than the photos: its rest is padded.
    flags += [
        "--set",
        f"model.config.semantic_loss_ignore_index={IGNORED}",
        "--set",
        "augmentation.crop_size=[96, 64]",
    ]
    flags += ["--set", "model.config.image_size=[96, 64]", "--set", "model.config.sliding_window=null"]
    assert finetune([*flags, "--output", tmp_path / "run"]) == 0
    assert len([line for line in read_log(tmp_path / "run") if "loss" in line]) == 2
    model = AutoModelForSemanticSegmentation.from_pretrained(tmp_path / "run" / "model")
    assert model.config.semantic_loss_ignore_index == IGNORED

    words = ["--model", tmp_path / "run" / "model", "--images", scenes.val_images, "--annotations", maps["val"]]
    assert evaluate([*words, "--output", tmp_path / "result.json"]) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    assert result == json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert result["num_pictures"] == 3


def test_255_is_then_a_wrong_id(
    scenes: Scenes, maps: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [*scenes.flags, "--train-annotations", maps["train"], "--output", tmp_path / "run"]
    assert finetune(flags) == 2
    assert "id 200 is out of range" in capsys.readouterr().err


class _Photo:
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> dict[str, object]:
        ids = np.array([[0, 1, 2, IGNORED]] * 5, np.uint8)
        return {"image": np.zeros((5, 4, 3), np.uint8), "segmentation_map": ids, "name": str(index)}


def test_labels_are_reduced_and_crops_padded_with_it() -> None:
    dataset = ClassIdDataset(_Photo(), LabelSet("two", ("a", "b"), reduce_zero_label=True), IGNORED)
    assert dataset[0]["segmentation_map"].tolist() == [[IGNORED, 0, 1, IGNORED]] * 5
    augmentation = TrainingAugmentation((7, 4), scale_range=None, flip_probability=0.0, ignore_index=7)
    crops = TrainingCropDataset(dataset, augmentation, SegVitImageProcessor(), seed=0, ignore_index=IGNORED)
    crop = crops[SampleRequest(0, 0)]
    assert isinstance(crop, TrainingCrop)
    assert crop.labels.tolist() == [[IGNORED, 0, 1, IGNORED]] * 5 + [[IGNORED] * 4] * 2
    assert crops.augment.ignore_index == IGNORED
