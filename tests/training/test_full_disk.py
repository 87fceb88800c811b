"""A disk that is full ends a run with one line and leaves nothing half-written."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from segvit_hf.training.checkpoints import list_checkpoints
from tests.training.conftest import Scenes, evaluate, finetune


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file can grow larger: the system refuses further bytes, as it does when a disk is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def error_line(captured: str) -> str:
    assert "Traceback" not in captured
    (line,) = [line for line in captured.splitlines() if line.startswith("error: ")]
    return line


# By what is written first that is larger than so many bytes: each library raises an error of its own.
@pytest.mark.parametrize(
    ("size", "flags", "file"),
    [
        (40_000, ["--set", "checkpoint.every_steps=2"], "checkpoints/step-00000002"),  # safetensors
        (120_000, ["--set", "checkpoint.every_steps=2"], "checkpoints/step-00000002"),  # torch.save
        (40_000, ["--max-steps", "1", "--set", "evaluation.keep_best=false"], "model"),
        (40_000, ["--set", "evaluation.every_steps=2"], "best_model"),
        (200, [], "recipe.yaml"),
        (2_500, [], "log.jsonl"),
    ],
)
def test_training_ends_with_one_line(
    scenes: Scenes, tmp_path: Path, size: int, flags: list[str], file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [*scenes.flags, "--set", "schedule.warmup_steps=1", *flags, "--output", tmp_path / "run"]
    with largest_file(size):
        assert finetune(flags) == 1
    line = error_line(capsys.readouterr().err)
    assert line.startswith(f"error: {tmp_path / 'run' / file}: cannot be written: ")
    assert line.endswith(" MB are free).")
    folders = [tmp_path / "run", tmp_path / "run" / "checkpoints"]
    left = [path.name for folder in folders if folder.is_dir() for path in folder.iterdir()]
    assert not any(name.startswith((".", "step-")) for name in left)
    assert "model" not in left


def test_what_was_there_before_stays(scenes: Scenes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = [*scenes.flags, "--output", tmp_path / "run", "--set", "checkpoint.every_steps=1"]
    flags += ["--set", "checkpoint.keep_last=1"]
    assert finetune([*flags, "--stop-at-step", "2"]) == 0
    (checkpoint,) = list_checkpoints(tmp_path / "run" / "checkpoints")
    before = load_file(checkpoint / "model.safetensors")
    with largest_file(40_000):
        assert finetune([*flags, "--resume"]) == 1
    assert "step-00000003: cannot be written" in error_line(capsys.readouterr().err)
    assert list_checkpoints(checkpoint.parent) == [checkpoint]
    after = load_file(checkpoint / "model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert finetune([*flags, "--resume"]) == 0


def test_an_evaluation_that_cannot_be_written(
    scenes: Scenes, model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--model", model_folder, "--images", scenes.val_images, "--annotations", scenes.val_annotations]
    with largest_file(100):
        assert evaluate([*words, "--workers", "0", "--output", tmp_path / "result.json"]) == 1
    assert f"{tmp_path / 'result.json'}: cannot be written: " in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
