"""`segvit-hf predict --submission` makes the zip files that the evaluation servers of two data sets take."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from segvit_hf import SetrConfig, SetrForSemanticSegmentation, SetrImageProcessor, segment
from segvit_hf.cli.predict import add_arguments
from segvit_hf.data.label_sets import get_label_set
from segvit_hf.data.submissions import SUBMISSION_FORMATS
from tests.reference import FIXTURES

RunCommand = Callable[..., int]
NAMES = {
    "cityscapes": ("berlin/berlin_000000_000019_leftImg8bit.png", "bonn/bonn_000004_000019_leftImg8bit.png"),
    "ade20k": ("ADE_test_00000001.png", "ADE_test_00000002.png"),
}
FILES = {
    "cityscapes": ["berlin_000000_000019_labelIds.png", "bonn_000004_000019_labelIds.png"],
    "ade20k": ["ADE_test_00000001.png", "ADE_test_00000002.png"],
}


@pytest.fixture(params=["cityscapes", "ade20k"])
def data_set(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def model_folder(data_set: str, tmp_path: Path) -> Path:
    torch.manual_seed(0)
    config = SetrConfig(
        image_size=32,
        patch_size=8,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        decoder_hidden_size=8,
        decoder_type="naive",
        id2label=get_label_set(data_set).id2label,
    )
    SetrForSemanticSegmentation(config).save_pretrained(tmp_path / "model")
    SetrImageProcessor(size={"shortest_edge": 32}).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def photos(data_set: str, tmp_path: Path) -> Path:
    with Image.open(FIXTURES / "photos" / "coffee.png") as picture:
        for index, name in enumerate(NAMES[data_set]):
            path = tmp_path / "photos" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.convert("RGB").resize((70 + index, 40)).save(path)
    return tmp_path / "photos"


def test_the_zip_file_holds_the_ids_of_every_photo(
    data_set: str, model_folder: Path, photos: Path, tmp_path: Path, run_command: RunCommand
) -> None:
    output = tmp_path / "submission.zip"
    assert run_command(add_arguments, model_folder, photos, output, "--submission", data_set, "--quiet") == 0
    model = SetrForSemanticSegmentation.from_pretrained(model_folder)
    image_processor = SetrImageProcessor.from_pretrained(model_folder)
    with zipfile.ZipFile(output) as archive:
        assert sorted(archive.namelist()) == FILES[data_set]
        for name, file_name in zip(NAMES[data_set], FILES[data_set], strict=True):
            picture = Image.open(io.BytesIO(archive.read(file_name)))
            assert picture.mode == "L"
            label_map = segment(model, image_processor, photos / name).numpy()
            assert np.array_equal(np.asarray(picture), np.asarray(SUBMISSION_FORMATS[data_set].file_ids)[label_map])


def test_a_folder_gets_the_zip_file_and_what_save_asks_for(
    data_set: str, model_folder: Path, photos: Path, tmp_path: Path, run_command: RunCommand
) -> None:
    words = ("--submission", data_set, "--save", "labels", "--quiet")
    assert run_command(add_arguments, model_folder, photos, tmp_path / "out", *words) == 0
    found = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert found == sorted([*NAMES[data_set], f"{data_set}_submission.zip"])


def test_photos_of_another_size_than_cityscapes_are_named(
    data_set: str,
    model_folder: Path,
    photos: Path,
    tmp_path: Path,
    run_command: RunCommand,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_command(add_arguments, model_folder, photos, tmp_path / "x.zip", "--submission", data_set, "--quiet")
    warning = "2 photos are not of 2048x1024 pixels, as the server expects: berlin_000000_000019_leftImg8bit"
    assert (warning in capsys.readouterr().err) == (data_set == "cityscapes")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("photos", "out.zip", "--save", "both"), "--save both writes more files: give a folder"),
        (("film.mp4", "out.zip"), "--submission takes photos, found a video"),
        (("twice", "out.zip"), r"would be .*\.png of the submission, and so would"),
    ],
)
def test_what_the_server_would_refuse_is_refused_before_the_model_is_loaded(
    words: tuple[str, ...], message: str, data_set: str, photos: Path, tmp_path: Path, run_command: RunCommand
) -> None:
    (tmp_path / "film.mp4").write_bytes(b"")
    for folder in ("a", "b"):
        copy = tmp_path / "twice" / folder / Path(NAMES[data_set][0]).name
        copy.parent.mkdir(parents=True)
        copy.write_bytes((photos / NAMES[data_set][0]).read_bytes())
    source, output, *more = words
    with pytest.raises(ValueError, match=message):
        run_command(add_arguments, "no-model", tmp_path / source, tmp_path / output, "--submission", data_set, *more)
    assert not (tmp_path / "out.zip").exists()


def test_a_model_of_other_classes_is_refused(
    data_set: str, model_folder: Path, photos: Path, tmp_path: Path, run_command: RunCommand
) -> None:
    model = SetrForSemanticSegmentation.from_pretrained(model_folder)
    model.config.id2label[0] = "umbrella"
    model.save_pretrained(model_folder)
    with pytest.raises(ValueError, match="classes in their order: class 0 is"):
        run_command(add_arguments, model_folder, photos, tmp_path / "out.zip", "--submission", data_set)
    assert not (tmp_path / "out.zip").exists()
