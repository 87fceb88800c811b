"""Submissions to the evaluation servers: ids, file names, and the zip file."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segvit_hf.data.label_sets import get_label_set
from segvit_hf.data.submissions import SUBMISSION_FORMATS, SubmissionWriter

CITYSCAPES, ADE20K = SUBMISSION_FORMATS["cityscapes"], SUBMISSION_FORMATS["ade20k"]
# From cityscapesScripts' table of labels.
CITYSCAPES_LABEL_IDS = {
    "road": 7, "sidewalk": 8, "building": 11, "wall": 12, "fence": 13, "pole": 17, "traffic light": 19,
    "traffic sign": 20, "vegetation": 21, "terrain": 22, "sky": 23, "person": 24, "rider": 25, "car": 26, "truck": 27,
    "bus": 28, "train": 31, "motorcycle": 32, "bicycle": 33,
}  # fmt: skip


def read_zip(path: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        return {name: np.asarray(Image.open(io.BytesIO(archive.read(name)))) for name in archive.namelist()}


def test_every_class_of_cityscapes_gets_its_label_id() -> None:
    classes = get_label_set("cityscapes").classes
    encoded = CITYSCAPES.encode(np.arange(19).reshape(1, 19))
    assert encoded.dtype == np.uint8
    assert dict(zip(classes, encoded[0].tolist(), strict=True)) == CITYSCAPES_LABEL_IDS


def test_classes_of_ade20k_count_from_1() -> None:
    label_map = np.arange(150).reshape(10, 15)
    assert np.array_equal(ADE20K.encode(label_map), label_map + 1)


@pytest.mark.parametrize(
    ("image_name", "file_name"),
    [
        ("berlin_000000_000019_leftImg8bit.png", "berlin_000000_000019_labelIds.png"),
        ("berlin_000000_000019_leftImg8bit", "berlin_000000_000019_labelIds.png"),
        ("test/bielefeld/bielefeld_000000_066495_leftImg8bit.png", "bielefeld_000000_066495_labelIds.png"),
        ("munich_000000_000019.jpg", "munich_000000_000019_labelIds.png"),
    ],
)
def test_files_of_cityscapes_are_named_by_city_sequence_and_frame(image_name: str, file_name: str) -> None:
    assert CITYSCAPES.file_name(image_name) == file_name


@pytest.mark.parametrize("image_name", ["photo.jpg", "berlin_19.png", "berlin_000000_000019x.png"])
def test_other_names_are_no_images_of_cityscapes(image_name: str) -> None:
    with pytest.raises(ValueError, match="expected a name of Cityscapes"):
        CITYSCAPES.file_name(image_name)


@pytest.mark.parametrize("image_name", ["ADE_test_00000001.jpg", "testing/ADE_test_00000001.jpg", "ADE_test_00000001"])
def test_files_of_ade20k_keep_the_name_of_their_image(image_name: str) -> None:
    assert ADE20K.file_name(image_name) == "ADE_test_00000001.png"


def test_the_zip_file_holds_one_png_per_image(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    label_maps = {f"ADE_test_{i:08d}.jpg": rng.integers(0, 150, (6 + i, 9)) for i in range(3)}
    with SubmissionWriter(tmp_path / "new" / "out.zip", ADE20K) as writer:
        for name, label_map in label_maps.items():
            writer.add(name, label_map)
        assert not (tmp_path / "new" / "out.zip").exists()
    found = read_zip(tmp_path / "new" / "out.zip")
    assert sorted(found) == [f"ADE_test_{i:08d}.png" for i in range(3)]
    for name, label_map in label_maps.items():
        assert np.array_equal(found[name.replace(".jpg", ".png")], label_map + 1)
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["out.zip"]


def test_an_error_leaves_no_zip_file(tmp_path: Path) -> None:
    (tmp_path / "out.zip").write_text("an earlier submission")
    with pytest.raises(ValueError, match="expected ids"), SubmissionWriter(tmp_path / "out.zip", ADE20K) as writer:
        writer.add("ADE_test_00000001.jpg", np.full((2, 2), 999))
    assert [file.name for file in tmp_path.iterdir()] == ["out.zip"]
    assert (tmp_path / "out.zip").read_text() == "an earlier submission"


def test_the_same_image_twice_is_refused(tmp_path: Path) -> None:
    label_map = np.zeros((2, 2), dtype=np.int64)
    with SubmissionWriter(tmp_path / "out.zip", ADE20K) as writer:
        writer.add("a/x.jpg", label_map)
        with pytest.raises(ValueError, match=r"b/x\.jpg: a second image for x\.png"):
            writer.add("b/x.jpg", label_map)


@pytest.mark.parametrize("label", [-1, 150])
def test_ids_that_are_no_class_are_refused(label: int) -> None:
    with pytest.raises(ValueError, match="expected ids from 0 to 149"):
        ADE20K.encode(np.full((2, 2), label))


def test_images_of_another_size_than_the_test_sets_are_remembered(tmp_path: Path) -> None:
    with SubmissionWriter(tmp_path / "out.zip", CITYSCAPES) as writer:
        writer.add("berlin_000000_000019.png", np.zeros((1024, 2048), dtype=np.int64))
        assert writer.unexpected_sizes == []
        writer.add("berlin_000000_000020.png", np.zeros((512, 1024), dtype=np.int64))
        assert writer.unexpected_sizes == ["berlin_000000_000020.png"]


@pytest.mark.parametrize("name", ["cityscapes", "ade20k"])
def test_the_models_classes_must_be_those_of_the_data_set(name: str) -> None:
    submission_format = SUBMISSION_FORMATS[name]
    id2label = get_label_set(name).id2label
    submission_format.check_classes(id2label)
    submission_format.check_classes({index: f"LABEL_{index}" for index in id2label})
    submission_format.check_classes({index: label.title().replace(" ", "_") for index, label in id2label.items()})
    with pytest.raises(ValueError, match=rf"needs a model with its {len(id2label)} classes, found 1"):
        submission_format.check_classes({0: "road"})
    swapped = {**id2label, 0: id2label[1], 1: id2label[0]}
    with pytest.raises(ValueError, match="classes in their order: class 0 is"):
        submission_format.check_classes(swapped)
