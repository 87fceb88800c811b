"""`segvit-hf predict` and `attention` replace no input, and nothing else that they were not told to replace."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from segvit_hf.cli import attention, predict
from segvit_hf.cli.prediction.inputs import PredictionInput, find_inputs
from segvit_hf.cli.prediction.results import check_results, result_paths

RunCommand = Callable[..., int]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "nested").mkdir(parents=True)
    Image.new("RGB", (40, 30), (10, 200, 30)).save(folder / "a.png")
    Image.new("RGB", (40, 30), (200, 20, 30)).save(folder / "nested" / "b.png")
    return folder


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("save", ["overlay", "labels"])
@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
@pytest.mark.parametrize("output", [".", "{photos}", "{photos}/../photos", "{photos}/a.png", "link", "{photos}/A.png"])
def test_a_photo_is_never_replaced_by_its_result(
    output: str,
    overwrite: tuple[str, ...],
    save: str,
    photos: Path,
    run_command: RunCommand,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(photos)
    (photos / "link").symlink_to(photos, target_is_directory=True)
    (photos / "A.png").hardlink_to(photos / "a.png")  # as on a file system that does not tell them apart
    before = contents(photos)
    words = ["a.png", output.format(photos=photos), "--save", save, *overwrite]
    with pytest.raises(ValueError, match="the result would replace the input a.png"):
        run_command(predict.add_arguments, "no-model", *words)
    assert contents(photos) == before


def test_a_photo_is_not_replaced_by_a_link_to_it(photos: Path, tmp_path: Path, run_command: RunCommand) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").symlink_to(photos / "a.png")
    with pytest.raises(ValueError, match="the result would replace the input"):
        run_command(predict.add_arguments, "no-model", photos, tmp_path / "out", "--overwrite")


def test_files_of_the_same_name_stay(
    model_folder: Path, photos: Path, tmp_path: Path, run_command: RunCommand
) -> None:
    annotations = tmp_path / "annotations"
    (annotations / "nested").mkdir(parents=True)
    truth = annotations / "nested" / "b.png"
    truth.write_bytes(b"hours of work")
    words = [photos, annotations, "--save", "labels"]
    with pytest.raises(ValueError, match=r"nested/b\.png: exists already\. .*--overwrite"):
        run_command(predict.add_arguments, model_folder, *words)
    assert contents(annotations) == {truth: b"hours of work"}
    assert run_command(predict.add_arguments, model_folder, *words, "--overwrite") == 0
    assert sorted(contents(annotations)) == [annotations / "a.png", truth]
    with pytest.raises(ValueError, match=r"a\.png: exists already, and 1 more"):
        run_command(predict.add_arguments, model_folder, *words)


def test_a_single_file_is_replaced_only_when_told(
    model_folder: Path, photos: Path, tmp_path: Path, run_command: RunCommand
) -> None:
    output = tmp_path / "out.png"
    output.write_bytes(b"mine")
    with pytest.raises(ValueError, match=r"out\.png: exists already"):
        run_command(predict.add_arguments, model_folder, photos / "a.png", output)
    assert output.read_bytes() == b"mine"
    assert run_command(predict.add_arguments, model_folder, photos / "a.png", output, "--overwrite") == 0
    assert Image.open(output).format == "PNG"


@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
def test_a_folder_in_the_place_of_a_result_stays(
    overwrite: tuple[str, ...], photos: Path, tmp_path: Path, run_command: RunCommand
) -> None:
    (tmp_path / "out" / "a.png").mkdir(parents=True)
    (tmp_path / "out" / "a.png" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"out/a\.png: a folder is in the place of the result"):
        run_command(predict.add_arguments, "no-model", photos, tmp_path / "out", *overwrite)
    assert (tmp_path / "out" / "a.png" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["out.zip", "folder/ade20k_submission.zip"])
def test_a_submission_is_replaced_only_when_told(
    name: str, photos: Path, tmp_path: Path, run_command: RunCommand
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"mine")
    output = tmp_path / name.split("/")[0]
    with pytest.raises(ValueError, match=r"\.zip: exists already"):
        run_command(predict.add_arguments, "no-model", photos, output, "--submission", "ade20k")
    assert (tmp_path / name).read_bytes() == b"mine"


@pytest.mark.parametrize(("save", "result"), [("overlay", "film.mp4"), ("labels", "film"), ("both", "overlays")])
def test_the_results_of_videos_are_replaced_only_when_told(
    save: str, result: str, tmp_path: Path, run_command: RunCommand
) -> None:
    video = tmp_path / "film.mp4"
    video.write_bytes(b"a film")
    output = tmp_path / "out"
    place = output / result / "film.mp4" if save == "both" else output / result
    if save == "labels":
        place.mkdir(parents=True)
    else:
        place.parent.mkdir(parents=True)
        place.write_bytes(b"mine")
    with pytest.raises(ValueError, match=r"film(\.mp4)?: exists already"):
        run_command(predict.add_arguments, "no-model", video, output, "--save", save)


def test_the_frames_of_a_video_are_not_written_over_a_photo(tmp_path: Path, run_command: RunCommand) -> None:
    (tmp_path / "films").mkdir()
    video = tmp_path / "films" / "film.mp4"
    video.write_bytes(b"a film")
    (tmp_path / "films" / "film").mkdir()
    photo = tmp_path / "films" / "film" / "000000.jpg"
    Image.new("RGB", (4, 4)).save(photo)
    with pytest.raises(ValueError, match="would lie among the frames of"):
        run_command(
            predict.add_arguments, "no-model", tmp_path / "films", tmp_path / "out", "--save", "labels", "--overwrite"
        )
    paths = result_paths(video, tmp_path / "films", "labels", find_inputs(video, tmp_path / "films"))
    item = PredictionInput(video, Path("film"), is_video=True)
    with pytest.raises(ValueError, match="the folder of the result holds the input"):
        check_results(paths.results(item), [item, PredictionInput(photo, Path("0"), False)], overwrite=True)


def test_two_inputs_never_share_a_result(tmp_path: Path, run_command: RunCommand) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("same.jpg", "same.png", "same.png.gif"):
        Image.new("RGB", (4, 4)).save(tmp_path / "photos" / name)
    with pytest.raises(ValueError, match=r"same\.png\.png: would be the result of .*, and also of"):
        run_command(predict.add_arguments, "no-model", tmp_path / "photos", tmp_path / "out")


@pytest.mark.parametrize(
    ("source", "output", "message"),
    [
        ("photos/a.png", "out.mp4", r"out\.mp4: expected a folder, or a file ending in .*\.png.* found \.mp4"),
        ("photos/a.png", "out.xyz", r"out\.xyz: expected a folder, or a file ending in .*\.png.* found \.xyz"),
        ("film.mp4", "out.avi", r"out\.avi: expected a folder, or a file ending in .*\.mp4.* found \.avi"),
        ("film.mp4", "out.png", r"out\.png: expected a folder, or a file ending in .*\.mp4.* found \.png"),
        ("photos", "out.png", r"out\.png: expected a folder for several results, found the name of a file"),
        ("photos", "out.mp4", r"out\.mp4: expected a folder for several results"),
        ("photos", "notes", "notes: expected a folder to write to, found a file"),
        ("photos/a.png", "notes", "notes: expected a folder to write to, or a file with an ending, found a file"),
    ],
)
def test_a_mistaken_output_is_named_and_not_made_a_folder(
    source: str, output: str, message: str, photos: Path, tmp_path: Path, run_command: RunCommand
) -> None:
    (tmp_path / "film.mp4").write_bytes(b"a film")
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(ValueError, match=message):
        run_command(predict.add_arguments, "no-model", tmp_path / source, tmp_path / output)
    assert output == "notes" or not (tmp_path / output).exists()


def test_a_folder_that_exists_may_be_called_as_it_likes(
    model_folder: Path, photos: Path, tmp_path: Path, run_command: RunCommand
) -> None:
    (tmp_path / "results.v2.mp4").mkdir()
    assert run_command(predict.add_arguments, model_folder, photos / "a.png", tmp_path / "results.v2.mp4") == 0
    assert (tmp_path / "results.v2.mp4" / "a.png").is_file()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (predict, ["m", "", "out"]),
        (predict, ["m", "a.png", ""]),
        (predict, ["", "a.png", "out"]),
        (attention, ["m", "", "--cls", "--output", "out"]),
        (attention, ["m", "a.png", "--cls", "--output", ""]),
        (attention, ["", "a.png", "--cls", "--output", "out"]),
    ],
)
def test_an_empty_path_is_no_path(
    command: object, words: list[str], photos: Path, run_command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos)
    before = contents(photos)
    with pytest.raises(SystemExit) as exit_:
        run_command(command.add_arguments, *words)
    assert exit_.value.code == 2
    assert contents(photos) == before


def test_attention_does_not_write_over_its_photo(photos: Path, tmp_path: Path, run_command: RunCommand) -> None:
    photo = tmp_path / "encoder_layer_0" / "cls" / "mean.png"
    photo.parent.mkdir(parents=True)
    photo.write_bytes((photos / "a.png").read_bytes())
    with pytest.raises(ValueError, match="choose another --output"):
        run_command(attention.add_arguments, "no-model", photo, "--cls", "--output", tmp_path)
    assert photo.read_bytes() == (photos / "a.png").read_bytes()
