"""Data sources of a recipe: folders, known layouts, data sets of the `datasets` library, weights from a file."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from datasets import Dataset, DatasetDict, Features, Image
from PIL import Image as PILImage

from segvit_hf import SegVitForSemanticSegmentation
from segvit_hf.data.folders import SegmentationFolders
from segvit_hf.data.label_sets import LabelSet
from segvit_hf.training.data.datasets import ClassIdDataset, fingerprint
from segvit_hf.training.data.sources import (
    check_label_maps,
    load_label_set,
    open_source,
    open_training_data,
    open_validation_data,
)
from segvit_hf.training.demo.scenes import CLASS_NAMES
from segvit_hf.training.recipe import DataRecipe, DataSource
from segvit_hf.training.recipe_parsing import RecipeError
from tests.training.conftest import Scenes
from tests.training.conftest import finetune as main

LABEL_SET = LabelSet("scenes", CLASS_NAMES)


@pytest.fixture(scope="module")
def dataset_folder(scenes: Scenes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The held-out scenes as a saved data set with columns `photo` and `mask` and the split `test`."""
    files = {
        "photo": sorted(str(path) for path in scenes.val_images.iterdir()),
        "mask": sorted(str(path) for path in scenes.val_annotations.iterdir()),
    }
    rows = Dataset.from_dict(files).cast_column("photo", Image()).cast_column("mask", Image())
    folder = tmp_path_factory.mktemp("dataset") / "scenes"
    DatasetDict({"test": rows}).save_to_disk(folder)
    return folder


def test_a_local_data_set_gives_the_same_pictures_as_folders(scenes: Scenes, dataset_folder: Path) -> None:
    source = DataSource(dataset=dataset_folder.name, split="test", image_column="photo", annotation_column="mask")
    pictures = open_source(source, str(dataset_folder.parent), LABEL_SET, 255)
    folders = SegmentationFolders(scenes.val_images, scenes.val_annotations)
    assert len(pictures) == len(folders) == 3
    for index in range(3):
        np.testing.assert_array_equal(pictures[index]["image"], folders[index]["image"])
        np.testing.assert_array_equal(pictures[index]["segmentation_map"], folders[index]["segmentation_map"])
    assert "6 of 6 classes occur" in check_label_maps(pictures, LABEL_SET, 255, 3, "data.train")
    assert fingerprint(pictures.names) != fingerprint(folders.names)


@pytest.mark.parametrize("column", ["photo", "mask"])
def test_a_row_that_cannot_be_decoded_is_named(scenes: Scenes, tmp_path: Path, column: str) -> None:
    files = {"photo": scenes.val_images / "scene_0000.png", "mask": scenes.val_annotations / "scene_0000.png"}
    rows = {name: [{"path": None, "bytes": path.read_bytes()}] for name, path in files.items()}
    rows[column][0]["bytes"] = rows[column][0]["bytes"][:300]
    Dataset.from_dict(rows, features=Features(photo=Image(), mask=Image())).save_to_disk(tmp_path / "rows")
    source = DataSource(dataset="rows", image_column="photo", annotation_column="mask")
    with pytest.raises(ValueError, match=r"rows\[0\]: .*cannot be read"):
        open_source(source, str(tmp_path), LABEL_SET, 255)[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": "train"}, "expected a split among ['test'], found 'train'"),
        ({"image_column": "image"}, "expected a column among ['photo', 'mask'], found 'image'"),
    ],
)
def test_a_wrong_split_or_column_is_named(dataset_folder: Path, changes: dict[str, str], message: str) -> None:
    fields = {"split": "test", "image_column": "photo", "annotation_column": "mask"} | changes
    data = DataRecipe(train=DataSource(dataset=str(dataset_folder), **fields))
    with pytest.raises(RecipeError) as raised:
        open_training_data(data, LABEL_SET, 255)
    assert message in str(raised.value)
    assert str(raised.value).startswith("data.train: ")


def test_a_layout_brings_folders_classes_and_label_reduction(tmp_path: Path) -> None:
    for part in ("training", "validation"):
        for kind in ("images", "annotations"):
            (tmp_path / kind / part).mkdir(parents=True)
        PILImage.new("RGB", (4, 3)).save(tmp_path / "images" / part / "a.jpg")
        stored = np.array([[0, 1, 2, 150]] * 3, dtype=np.uint8)
        PILImage.fromarray(stored).save(tmp_path / "annotations" / part / "a.png")
    data = DataRecipe(layout="ade20k", root=str(tmp_path))
    label_set = load_label_set(data)
    assert (label_set.num_labels, label_set.reduce_zero_label) == (150, True)
    for stored in (open_training_data(data, label_set, 255), open_validation_data(data, label_set, 255)):
        assert stored is not None
        assert ClassIdDataset(stored, label_set, 255)[0]["segmentation_map"].tolist() == [[255, 0, 1, 149]] * 3


def test_the_recipe_decides_over_the_layout_what_id_0_means(tmp_path: Path) -> None:
    for kind in ("images", "annotations"):
        (tmp_path / kind / "training").mkdir(parents=True)
    PILImage.new("RGB", (4, 3)).save(tmp_path / "images/training/a.jpg")
    PILImage.fromarray(np.array([[0, 1, 2, 149]] * 3, np.uint8)).save(tmp_path / "annotations/training/a.png")
    data = DataRecipe(layout="ade20k", root=str(tmp_path), reduce_zero_label=False)
    label_set = load_label_set(data)
    stored = open_training_data(data, label_set, 255)
    assert ClassIdDataset(stored, label_set, 255)[0]["segmentation_map"].tolist() == [[0, 1, 2, 149]] * 3


def test_missing_data_and_classes_are_said() -> None:
    data = DataRecipe()
    with pytest.raises(RecipeError, match="--train-images"):
        open_training_data(data, LABEL_SET, 255)
    assert open_validation_data(data, LABEL_SET, 255) is None
    with pytest.raises(RecipeError, match="--classes FILE"):
        load_label_set(data)
    with pytest.raises(RecipeError, match="data.label_set: label set 'nothing': expected one of"):
        load_label_set(DataRecipe(label_set="nothing"))
    with pytest.raises(RecipeError, match=r"expected data.root \(--data-root\)"):
        open_training_data(DataRecipe(layout="ade20k"), LABEL_SET, 255)
    with pytest.raises(RecipeError, match="data.layout: expected one of ade20k"):
        load_label_set(DataRecipe(layout="nothing", root="."))


def test_training_starts_from_imagenet_weights_in_a_local_file(scenes: Scenes, tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights = timm.create_model("vit_tiny_patch16_224", img_size=32).state_dict()
    torch.save(weights, tmp_path / "vit_tiny.pth")
    fields = {"hidden_size": 192, "num_hidden_layers": 12, "num_attention_heads": 3, "intermediate_size": 768}
    fields |= {"patch_size": 16, "encoder_out_indices": [5, 11]}
    flags = [*scenes.flags, "--max-steps", "2", "--encoder-weights", str(tmp_path / "vit_tiny.pth")]
    flags += [f"--set=model.config.{name}={value}" for name, value in fields.items()]
    flags += ["--set=optimizer.learning_rate=1e-30", "--set=optimizer.weight_decay=0"]
    assert main([*flags, "--output", str(tmp_path / "run")]) == 0

    trained = SegVitForSemanticSegmentation.from_pretrained(tmp_path / "run" / "model").state_dict()
    expected = weights["blocks.7.attn.qkv.weight"]
    torch.testing.assert_close(trained["encoder.layers.7.attention.qkv.weight"], expected, rtol=0, atol=1e-12)


def test_weights_of_another_encoder_are_refused(
    scenes: Scenes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(timm.create_model("vit_tiny_patch16_224", img_size=32).state_dict(), tmp_path / "vit_tiny.pth")
    flags = [*scenes.flags, "--encoder-weights", str(tmp_path / "vit_tiny.pth"), "--output", str(tmp_path / "run")]
    assert main(flags) == 2
    assert capsys.readouterr().err.startswith("error: model.encoder_weights: ")
