"""Where `segvit-hf convert` writes: told at once where it cannot, and nothing of anybody else's is lost."""

import json
import os
import re
import resource
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from segvit_hf.cli import convert as command
from segvit_hf.cli import main as program
from segvit_hf.conversion.export import check_output_folder
from tests.conversion.conftest import CheckpointFiles


def own(files: CheckpointFiles, output: Any, *more: Any) -> int:
    words = ["convert", "--family", "segvit", "--config", files.config, files.weights, "--output", output, *more]
    return program.main([str(word) for word in words])


def moved(files: CheckpointFiles, folder: Path) -> CheckpointFiles:
    """The checkpoint in the folder of an earlier conversion, with notes and logs beside it."""
    assert own(files, folder) == 0
    (folder / "logs").mkdir()
    (folder / "logs" / "1.txt").write_text("mine")
    return CheckpointFiles(files.case, Path(shutil.move(files.weights, folder / "latest.pth")), files.config)


def test_the_folder_of_its_own_input_keeps_everything_else(checkpoint_files: CheckpointFiles, tmp_path: Path) -> None:
    files = moved(checkpoint_files, tmp_path / "mine")
    before = files.weights.read_bytes()
    (tmp_path / "mine" / "README.md").write_text("of the earlier conversion")
    assert own(files, tmp_path / "mine", "--overwrite") == 0
    assert files.weights.read_bytes() == before
    assert (tmp_path / "mine" / "logs" / "1.txt").read_text() == "mine"
    assert "Converted by segvit-hf" in (tmp_path / "mine" / "README.md").read_text()
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_configuration_that_would_be_replaced_is_refused(
    checkpoint_files: CheckpointFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    config = Path(shutil.move(checkpoint_files.config, tmp_path / "mine" / "config.json"))
    files = CheckpointFiles(checkpoint_files.case, checkpoint_files.weights, config)
    before = config.read_bytes()
    assert own(files, tmp_path / "mine", "--overwrite") == 1
    assert "would replace config.json, which it reads" in capsys.readouterr().err
    assert config.read_bytes() == before


def test_an_interrupted_conversion_is_put_back_before_the_next(
    checkpoint_files: CheckpointFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert own(checkpoint_files, tmp_path / "mine") == 0
    place = tmp_path / ".mine.abcdefgh.tmp"
    place.mkdir()
    (tmp_path / "mine").rename(place / "mine.old")  # as a process that was killed between the renames leaves it
    assert own(checkpoint_files, tmp_path / "mine") == 1
    assert "the folder is not empty" in capsys.readouterr().err
    assert (tmp_path / "mine" / "config.json").is_file()
    assert not place.exists()


def below_a_file(folder: Path) -> Path:
    (folder / "file").write_text("")
    return folder / "file" / "below" / "mine"


def link_to_itself(folder: Path) -> Path:
    (folder / "loop").symlink_to("loop")
    return folder / "loop"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (below_a_file, r"but \S+file is a file"),
        (link_to_itself, "found a link that leads nowhere"),
        (lambda folder: folder / ("n" * 300), "File name too long"),
        (lambda folder: Path("/dev"), "a mount point cannot be replaced"),
    ],
)
def test_folders_that_cannot_be_written_are_told_before_any_work(
    make: Any,
    message: str,
    checkpoint_files: CheckpointFiles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(command, "load_checkpoint_file", None)
    output = make(tmp_path)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    assert own(checkpoint_files, output, "--overwrite") == 1
    assert re.search(message, capsys.readouterr().err)
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_a_folder_without_permission_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The super user may write everywhere; a file system that is mounted read-only answers as this does.
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(ValueError, match="cannot be written to"):
        check_output_folder(tmp_path / "mine", overwrite=False)


@pytest.mark.parametrize("place", [1, 2, 3])
def test_an_empty_word_is_no_path(
    place: int, checkpoint_files: CheckpointFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["convert", "--family", "segvit", "--config", str(checkpoint_files.config)]
    words += [str(checkpoint_files.weights), "--output", str(tmp_path / "mine")]
    words[{1: 4, 2: 5, 3: 7}[place]] = ""
    with pytest.raises(SystemExit) as exit_:
        program.main(words)
    assert exit_.value.code == 2
    assert "expected a path, found an empty text" in capsys.readouterr().err


def test_weights_that_are_not_finite_are_converted_when_one_insists(
    checkpoint_files: CheckpointFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = checkpoint_files.case.state_dict()
    weights["decode_head.q.weight"] = weights["decode_head.q.weight"] * float("nan")
    torch.save({"state_dict": weights}, checkpoint_files.weights)
    assert own(checkpoint_files, tmp_path / "mine") == 1
    message = capsys.readouterr().err
    assert "decode_head.q.weight: NaN" in message
    assert "--allow-nonfinite" in message
    assert not (tmp_path / "mine").exists()
    assert own(checkpoint_files, tmp_path / "mine", "--allow-nonfinite") == 0


def test_what_lies_beside_the_weights_is_listed_shortly(
    checkpoint_files: CheckpointFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = {"state_dict": checkpoint_files.case.state_dict(), "\x1b[2J\nall fine": 1}
    torch.save({**content, **dict.fromkeys(map(str, range(10_000)))}, checkpoint_files.weights)
    assert own(checkpoint_files, tmp_path / "mine") == 0
    note = capsys.readouterr().err
    assert r"\x1b[2J\nall fine" in note
    assert "\x1b" not in note
    assert len(note) < 2000
    report = json.loads((tmp_path / "mine" / "conversion_report.json").read_text())
    assert report["not_used"]["..."] == "9951 more"


@pytest.mark.parametrize("exists", [False, True])
def test_a_full_disk_is_told_and_leaves_nothing(
    exists: bool, checkpoint_files: CheckpointFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if exists:
        assert own(checkpoint_files, tmp_path / "mine") == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # Python ignores the signal: writing more fails
    try:
        assert own(checkpoint_files, tmp_path / "mine", "--overwrite") == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert re.search(r"mine: the weights could not be written .*Is the disk full\?", capsys.readouterr().err)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
