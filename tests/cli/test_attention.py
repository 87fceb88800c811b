"""`segvit-hf attention` draws the maps that the model has, square by square."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segvit_hf import SegmenterForSemanticSegmentation, SegmenterImageProcessor
from segvit_hf.cli.attention import add_arguments, whole_patches
from segvit_hf.inference.attention_maps import attention_maps
from segvit_hf.visualization.attention_pictures import map_picture
from tests.cli.conftest import CLASSES
from tests.reference import FIXTURES

RunCommand = Callable[..., int]
PHOTO = FIXTURES / "photos" / "coffee.png"  # 600x400, so 48x32 pixels at the model's size: 6x4 patches of 8
YELLOW, DARK = (253, 231, 37), (68, 1, 84)


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def expected_maps(model_folder: Path, **query: object) -> np.ndarray:
    model = SegmenterForSemanticSegmentation.from_pretrained(model_folder).eval()
    photo = whole_patches(Image.open(PHOTO).convert("RGB"), 32, 8)
    inputs = SegmenterImageProcessor()(images=photo, return_tensors="pt")
    return attention_maps(model, inputs["pixel_values"], **query).maps.numpy()


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_maps_of_a_patch(part: str, model_folder: Path, tmp_path: Path, run_command: RunCommand) -> None:
    words = ["--layer", 1, "--patch", "5,2", "--output", tmp_path]
    assert run_command(add_arguments, model_folder, PHOTO, f"--{part}", *words) == 0
    folder = tmp_path / f"{part}_layer_1" / "patch_5_2"
    maps = expected_maps(model_folder, part=part, layer=1, patch=(5, 2))
    heads = [f"head_{head:02d}.png" for head in range(len(maps))]
    assert sorted(path.name for path in folder.iterdir()) == [*heads, "input.png", "mean.png", "overview.png"]
    for head, name in enumerate(heads):
        squares = pixels_of(folder / name)
        assert squares.shape == (32, 48, 3)
        top, left = np.unravel_index(maps[head, 0].argmax(), (4, 6))
        assert (squares[8 * top : 8 * top + 8, 8 * left : 8 * left + 8] == YELLOW).all()
        top, left = np.unravel_index(maps[head, 0].argmin(), (4, 6))
        assert (squares[8 * top : 8 * top + 8, 8 * left : 8 * left + 8] == DARK).all()
    marked = (pixels_of(folder / "input.png") == (255, 0, 0)).all(axis=-1)
    assert marked[16:24, 40:48].all()
    assert marked.sum() == 64


def test_maps_of_the_class_token(model_folder: Path, tmp_path: Path, run_command: RunCommand) -> None:
    assert run_command(add_arguments, model_folder, PHOTO, "--cls", "--output", tmp_path) == 0
    folder = tmp_path / "encoder_layer_0" / "cls"
    maps = expected_maps(model_folder)
    expected = np.asarray(map_picture(maps[:, 0].mean(0), 8))
    np.testing.assert_array_equal(pixels_of(folder / "mean.png"), expected)


def test_maps_of_every_class_embedding(model_folder: Path, tmp_path: Path, run_command: RunCommand) -> None:
    words = ["--decoder", "--layer", 0, "--cls", "--output", tmp_path]
    assert run_command(add_arguments, model_folder, PHOTO, *words) == 0
    folder = tmp_path / "decoder_layer_0"
    names = [f"class_{index:03d}_{name}" for index, name in enumerate(CLASSES)]
    assert sorted(path.name for path in folder.iterdir()) == [*names, "overview.png"]
    maps = expected_maps(model_folder, part="decoder", layer=0)
    for index, name in enumerate(names):
        expected = np.asarray(map_picture(maps[0, index], 8))
        np.testing.assert_array_equal(pixels_of(folder / name / "head_00.png"), expected)


def test_chosen_classes_only(model_folder: Path, tmp_path: Path, run_command: RunCommand) -> None:
    words = ["--decoder", "--cls", "--classes", "tree,0", "--output", tmp_path]
    assert run_command(add_arguments, model_folder, PHOTO, *words) == 0
    found = sorted(path.name for path in (tmp_path / "decoder_layer_0").iterdir())
    assert found == ["class_000_sky", "class_002_tree", "overview.png"]


@pytest.mark.parametrize(
    ("size", "short_side", "expected"),
    [((600, 400), 32, (48, 32)), ((400, 600), 32, (32, 48)), ((60, 60), 60, (56, 56)), ((100, 99), 32, (32, 32))],
)
def test_photos_are_cut_to_whole_patches(size: tuple[int, int], short_side: int, expected: tuple[int, int]) -> None:
    assert whole_patches(Image.new("RGB", size), short_side, 8).size == expected


def test_an_even_map_is_one_color() -> None:
    assert (np.asarray(map_picture(np.full((2, 3), 0.25), 4)) == DARK).all()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cls", "--layer", "2"], "layer 2: the encoder has the layers 0 to 1"),
        (["--patch", "6,0"], "patch 6,0: x must be from 0 to 5"),
        (["--cls", "--classes", "sky"], "--classes goes with --decoder --cls"),
        (["--decoder", "--cls", "--classes", "moon"], "--classes moon: expected a name or an id from 0 to 4"),
        (["--cls", "--size", "7"], "--size 7: expected at least the 8 pixels of a patch"),
    ],
)
def test_wrong_arguments_are_named(
    words: list[str], message: str, model_folder: Path, tmp_path: Path, run_command: RunCommand
) -> None:
    with pytest.raises(ValueError, match=message):
        run_command(add_arguments, model_folder, PHOTO, *words, "--output", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", [["--patch", "1;2"], [], ["--cls", "--patch", "0,0"], ["--encoder", "--decoder"]])
def test_wrong_usage_exits_with_2(
    words: list[str], model_folder: Path, tmp_path: Path, run_command: RunCommand
) -> None:
    with pytest.raises(SystemExit) as exit_:
        run_command(add_arguments, model_folder, PHOTO, *words, "--output", tmp_path)
    assert exit_.value.code == 2


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"\x89PNG\r\n\x1a\n" + b"x" * 100])
def test_a_photo_that_cannot_be_read_is_one_line(
    content: bytes, model_folder: Path, tmp_path: Path, run_command: RunCommand
) -> None:
    (tmp_path / "photo.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"photo\.png: the photo cannot be read: ") as error:
        run_command(add_arguments, model_folder, tmp_path / "photo.png", "--cls", "--output", tmp_path / "out")
    assert "\n" not in str(error.value)
