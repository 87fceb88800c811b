"""`segvit-hf predict` writes overlays and label maps; files that cannot be read do not stop the others."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segvit_hf import SegmenterForSemanticSegmentation, SegmenterImageProcessor, segment
from segvit_hf.cli.predict import add_arguments
from segvit_hf.cli.prediction.outputs import LabelMapOutput, OverlayOutput
from segvit_hf.cli.prediction.photo_segmenter import PhotoSegmenter
from segvit_hf.inference.photo_size import MAX_LOGITS
from tests.cli.conftest import CLASSES
from tests.reference import FIXTURES

RunCommand = Callable[..., int]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "cup.png"
    with Image.open(FIXTURES / "photos" / "coffee.png") as picture:
        picture.convert("RGB").resize((75, 50)).save(path)
    return path


@pytest.fixture
def mixed_folder(tmp_path: Path, photo: Path) -> Path:
    """A photo twice, in two formats; a nested one; a cut JPEG; one pixel; an animation; a pipe; a text file; a hidden
    file.
    """
    folder = tmp_path / "photos"
    (folder / "nested").mkdir(parents=True)
    picture = Image.open(photo)
    picture.save(folder / "same.png")
    picture.save(folder / "same.jpg")
    picture.save(folder / "nested" / "deep.webp")
    picture.save(folder / ".hidden.png")
    content = (folder / "same.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(content[: len(content) // 2])
    (folder / "no-picture.jpg").write_text("<html>not found</html>")
    Image.new("RGB", (1, 1), (10, 200, 30)).save(folder / "pixel.png")
    os.mkfifo(folder / "pipe.png")
    picture.convert("P").save(folder / "moving.gif", save_all=True, append_images=[picture.rotate(90).convert("P")])
    (folder / "notes.txt").write_text("not a photo")
    return folder


def expected_label_map(model_folder: Path, photo: Path, **protocol: object) -> np.ndarray:
    model = SegmenterForSemanticSegmentation.from_pretrained(model_folder)
    image_processor = SegmenterImageProcessor.from_pretrained(model_folder)
    return segment(model, image_processor, photo, **protocol).numpy()


def test_labels_are_those_of_segment(model_folder: Path, photo: Path, tmp_path: Path, run_command: RunCommand) -> None:
    assert run_command(add_arguments, model_folder, photo, tmp_path / "ids.png", "--save", "labels") == 0
    with Image.open(tmp_path / "ids.png") as ids:
        assert ids.mode == "L"
        np.testing.assert_array_equal(np.asarray(ids), expected_label_map(model_folder, photo))


def test_scales_size_and_flip_are_those_of_segment(
    model_folder: Path, photo: Path, tmp_path: Path, run_command: RunCommand
) -> None:
    words = ["--save", "labels", "--size", 40, 160, "--scales", 0.5, 1, "--flip"]
    assert run_command(add_arguments, model_folder, photo, tmp_path / "ids.png", *words) == 0
    model = SegmenterForSemanticSegmentation.from_pretrained(model_folder)
    image_processor = SegmenterImageProcessor.from_pretrained(
        model_folder, do_resize=True, size={"shortest_edge": 40, "longest_edge": 160}
    )
    expected = segment(model, image_processor, photo, scales=(0.5, 1.0), flip=True).numpy()
    with Image.open(tmp_path / "ids.png") as ids:
        np.testing.assert_array_equal(np.asarray(ids), expected)


def test_an_overlay_shows_the_photo_the_colors_and_a_legend(
    model_folder: Path, photo: Path, tmp_path: Path, run_command: RunCommand
) -> None:
    palette = tmp_path / "classes.txt"
    palette.write_text("".join(f"{name} {10 * index} 250 {index}\n" for index, name in enumerate(CLASSES)))
    words = ["--palette", palette, "--alpha", 1]
    assert run_command(add_arguments, model_folder, photo, tmp_path / "out", *words) == 0
    label_map = expected_label_map(model_folder, photo)
    with Image.open(tmp_path / "out" / "cup.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert pixels.shape[1] > 75  # the legend stands beside the photo
    np.testing.assert_array_equal(pixels[:50, :75, 0], 10 * label_map)
    assert (pixels[:50, :75, 1] == 250).all()
    more = ["--no-legend", "--overwrite"]
    assert run_command(add_arguments, model_folder, photo, tmp_path / "out", *words, *more) == 0
    with Image.open(tmp_path / "out" / "cup.png") as picture:
        assert picture.size == (75, 50)


def test_class_255_is_a_class_like_the_others(tmp_path: Path) -> None:
    names = {index: str(index) for index in range(300)}
    output = OverlayOutput(lambda name, suffix: tmp_path / f"{name}{suffix}", names, [(9, 8, 7)] * 300, alpha=1)
    output.write_photo(Path("a"), np.full((20, 30, 3), 100, np.uint8), np.full((20, 30), 255))
    with Image.open(tmp_path / "a.png") as picture:
        assert (np.asarray(picture)[:20, :30] == (9, 8, 7)).all()


@pytest.mark.parametrize(("num_labels", "modes"), [(5, {"L"}), (256, {"L"}), (257, {"I;16"}), (300, {"I;16"})])
def test_every_class_id_comes_back(num_labels: int, modes: set[str], tmp_path: Path) -> None:
    output = LabelMapOutput(lambda name, suffix: tmp_path / f"{name}{suffix}", num_labels)
    label_map = np.arange(num_labels * 4).reshape(num_labels, 4) % num_labels
    output.write_photo(Path("a"), np.zeros((num_labels, 4, 3), np.uint8), label_map)
    with Image.open(tmp_path / "a.png") as picture:
        assert {picture.mode} == modes
        np.testing.assert_array_equal(np.asarray(picture), label_map)


def test_a_photo_that_the_memory_does_not_hold_does_not_stop_the_others(
    model_folder: Path,
    photo: Path,
    tmp_path: Path,
    run_command: RunCommand,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "photos").mkdir()
    for index, width in enumerate((75, 60, 50)):
        Image.open(photo).resize((width, 50)).save(tmp_path / "photos" / f"{index}.png")
    segment_photo = PhotoSegmenter.__call__

    def without_memory(segmenter: PhotoSegmenter, pixels: np.ndarray) -> object:
        if pixels.shape[1] == 60:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB.\nMore advice.")
        return segment_photo(segmenter, pixels)

    monkeypatch.setattr(PhotoSegmenter, "__call__", without_memory)
    assert run_command(add_arguments, model_folder, tmp_path / "photos", tmp_path / "out", "--quiet") == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.png", "2.png"]
    captured = capsys.readouterr()
    assert "2 photos segmented" in captured.out
    assert "1 of 3 files could not be segmented:\n" in captured.err
    assert f"  {tmp_path / 'photos' / '1.png'}: CUDA out of memory. Tried to allocate 20.00 MiB.\n" in captured.err


@pytest.mark.parametrize("name", ["ade20k", "cityscapes", "pascal_context", "coco_stuff"])
def test_the_palettes_of_the_data_sets_are_known(
    name: str, model_folder: Path, photo: Path, tmp_path: Path, run_command: RunCommand
) -> None:
    assert run_command(add_arguments, model_folder, photo, tmp_path / "out", "--palette", name) == 0


def test_a_folder_with_unreadable_files_is_done_and_reported(
    model_folder: Path,
    mixed_folder: Path,
    tmp_path: Path,
    run_command: RunCommand,
    capsys: pytest.CaptureFixture[str],
) -> None:
    status = run_command(add_arguments, model_folder, mixed_folder, tmp_path / "out", "--save", "both")
    assert status == 1
    written = {
        kind: sorted(
            str(path.relative_to(tmp_path / "out" / kind)) for path in (tmp_path / "out" / kind).rglob("*.png")
        )
        for kind in ("overlays", "labels")
    }
    assert written["overlays"] == written["labels"]
    assert written["labels"] == ["moving.png", "nested/deep.png", "pixel.png", "same.jpg.png", "same.png.png"]
    captured = capsys.readouterr()
    assert "5 photos segmented" in captured.out
    assert "3 of 8 files could not be segmented:" in captured.err
    assert f"{mixed_folder / 'pipe.png'}: expected a file, found a named pipe" in captured.err
    assert f"{mixed_folder / 'cut.jpg'}: the photo cannot be read: image file is truncated" in captured.err
    assert f"{mixed_folder / 'no-picture.jpg'}: the photo cannot be read: cannot identify image file" in captured.err
    assert "moving.gif: an animation of 2 pictures: the first one was segmented" in captured.err
    assert "8/8" in captured.err  # the progress bar


def test_all_is_well_without_unreadable_files(
    model_folder: Path, mixed_folder: Path, tmp_path: Path, run_command: RunCommand, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("cut.jpg", "no-picture.jpg", "pipe.png"):
        (mixed_folder / name).unlink()
    # The output lies below the input: what is there is no input of a second run.
    for more in ([], ["--overwrite"]):
        assert run_command(add_arguments, model_folder, mixed_folder, mixed_folder / "out", "--quiet", *more) == 0
        assert "5 photos segmented" in capsys.readouterr().out


def test_one_pixel_gets_one_label(model_folder: Path, tmp_path: Path, run_command: RunCommand) -> None:
    Image.new("RGB", (1, 1), (10, 200, 30)).save(tmp_path / "pixel.png")
    assert (
        run_command(add_arguments, model_folder, tmp_path / "pixel.png", tmp_path / "out.png", "--save", "labels") == 0
    )
    with Image.open(tmp_path / "out.png") as ids:
        assert ids.size == (1, 1)


def test_a_photo_lies_as_its_exif_orientation_says(
    model_folder: Path, photo: Path, tmp_path: Path, run_command: RunCommand
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    Image.open(photo).save(tmp_path / "turned.jpg", exif=exif)
    assert (
        run_command(add_arguments, model_folder, tmp_path / "turned.jpg", tmp_path / "ids.png", "--save", "labels")
        == 0
    )
    with Image.open(tmp_path / "ids.png") as ids:
        assert ids.size == (50, 75)


def test_large_photos_are_segmented_at_a_smaller_size(
    model_folder: Path, photo: Path, tmp_path: Path, run_command: RunCommand, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--save", "labels", "--max-side", 50]
    assert run_command(add_arguments, model_folder, photo, tmp_path / "ids.png", *words) == 0
    with Image.open(photo) as picture:
        small = np.asarray(picture.resize((50, 33), Image.Resampling.BILINEAR))
    model = SegmenterForSemanticSegmentation.from_pretrained(model_folder)
    label_map = segment(model, SegmenterImageProcessor.from_pretrained(model_folder), small).numpy()
    rows = [min(int((row + 0.5) * 33 / 50), 32) for row in range(50)]
    columns = [min(int((column + 0.5) * 50 / 75), 49) for column in range(75)]
    with Image.open(tmp_path / "ids.png") as ids:
        np.testing.assert_array_equal(np.asarray(ids), label_map[rows][:, columns])
    assert len(np.unique(label_map)) > 1
    assert "segmented at 50x33 instead of 75x50 (see --max-side)" in capsys.readouterr().err


def test_by_default_only_memory_decides_the_size(model_folder: Path) -> None:
    model = SegmenterForSemanticSegmentation.from_pretrained(model_folder)
    image_processor = SegmenterImageProcessor.from_pretrained(model_folder)
    segmenter = PhotoSegmenter(model, image_processor)
    assert segmenter.working_size(4000, 6000) == (4000, 6000)
    model.config.num_labels = 150
    height, width = segmenter.working_size(4000, 6000)
    assert 0.99 * MAX_LOGITS < 150 * height * width <= MAX_LOGITS
    assert width / height == pytest.approx(1.5, rel=1e-3)
    image_processor.do_resize = True
    assert segmenter.working_size(4000, 6000) == (4000, 6000)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{photo}", "{folder}/out.jpg", "--save", "labels"], "label maps need a format without loss"),
        (["{photo}", "{folder}/out.png", "--save", "both"], "--save both writes several files"),
        (["{photo}", "{photo}"], "the result would replace the input"),
        (["{folder}", "{folder}"], "expected another folder than the one with the photos"),
        (["{folder}/nothing.jpg", "{folder}/out"], "no such file or folder"),
        (["{folder}/empty", "{folder}/out"], "found no photo"),
        (["{photo}", "{folder}/out", "--alpha", "2"], "--alpha must be from 0 to 1"),
        (["{photo}", "{folder}/out", "--scales", "0"], "--scales must be positive"),
        (["{photo}", "{folder}/out", "--scales", "0.5", "1"], "keeps the photo's size; say --size, too"),
        (["{photo}", "{folder}/out", "--size", "5", "3"], "--size: expected the short side first"),
        (["{photo}", "{folder}/out", "--max-side", "0"], "--max-side must be at least 1"),
        (["{photo}", "{folder}/out", "--palette", "mars"], r"--palette mars: expected a file .* ade20k"),
        (["{photo}", "{folder}/out", "--device", "nowhere"], "--device nowhere"),
    ],
)
def test_wrong_arguments_are_named(
    words: list[str], message: str, model_folder: Path, photo: Path, tmp_path: Path, run_command: RunCommand
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=message):
        run_command(add_arguments, model_folder, *(w.format(photo=photo, folder=tmp_path) for w in words))


def test_a_model_that_is_not_there_is_named(photo: Path, tmp_path: Path, run_command: RunCommand) -> None:
    with pytest.raises(ValueError, match=r"missing: expected the folder of a saved model, found none"):
        run_command(add_arguments, tmp_path / "missing", photo, tmp_path / "out")


def test_a_palette_with_too_few_colors_is_refused(
    model_folder: Path, photo: Path, tmp_path: Path, run_command: RunCommand
) -> None:
    palette = tmp_path / "classes.txt"
    palette.write_text("sky 1 2 3\nroad 4 5 6\n")
    with pytest.raises(ValueError, match="expected at least 5 colors, one per class of the model, found 2"):
        run_command(add_arguments, model_folder, photo, tmp_path / "out", "--palette", palette)
    palette.write_text("sky\nroad\n")
    with pytest.raises(ValueError, match="found classes without colors"):
        run_command(add_arguments, model_folder, photo, tmp_path / "out", "--palette", palette)
