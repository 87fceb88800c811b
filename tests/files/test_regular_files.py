"""Pipes, devices and folders in the place of files are refused at once by everything that reads a file."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segvit_hf import segment
from segvit_hf.cli.prediction.inputs import find_inputs, read_photo
from segvit_hf.data.label_maps import read_label_map
from segvit_hf.image_processing.reading import load_file
from segvit_hf.regular_files import check_regular_file
from segvit_hf.video import VideoReader
from tests.models.architectures import SMALL_MODELS


@pytest.fixture(params=["pipe", "device", "folder"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"{request.param}.png"
    if request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    return path


def segment_photo(path: Path) -> Any:
    from segvit_hf import SegmenterImageProcessor

    return segment(SMALL_MODELS["segmenter"].build(), SegmenterImageProcessor(), path)


@pytest.mark.parametrize(
    "read", [check_regular_file, load_file, read_photo, read_label_map, VideoReader, segment_photo]
)
@pytest.mark.parametrize("kind", [str, Path])
def test_what_is_no_file_is_refused(read: Callable[[Any], Any], kind: type, place: Path) -> None:
    found = {"pipe": "a named pipe", "device": "a device", "folder": "a folder"}[place.stem]
    with pytest.raises(ValueError, match=f"{place}: expected a file, found {found}"):
        read(kind(place))


def test_a_pipe_is_no_input(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "photo.png")
    with pytest.raises(ValueError, match="expected a file, found a named pipe"):
        find_inputs(tmp_path / "photo.png", tmp_path / "out")


@pytest.mark.parametrize("read", [load_file, read_label_map, VideoReader])
def test_a_file_that_is_missing_is_named(read: Callable[[Any], Any], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"missing\.png: no such file"):
        read(tmp_path / "missing.png")


def test_an_empty_path_is_none() -> None:
    with pytest.raises(ValueError, match="found an empty text"):
        load_file("")
    with pytest.raises(ValueError, match="expected a file, found a folder"):
        read_label_map("")


@pytest.mark.parametrize(
    "source",
    ["http://localhost:9/photo.png", "https://nowhere.invalid/photo.png", "no/such/file.png", "AAAA" * 100_000],
)
def test_a_source_that_gives_no_photo_is_one_short_line(source: str) -> None:
    with pytest.raises(ValueError, match="expected a file, the address of a photo or a base64 string") as error:
        load_file(source)
    assert str(error.value).startswith(source[:100])
    assert len(str(error.value)) < 600
    assert "\n" not in str(error.value)
