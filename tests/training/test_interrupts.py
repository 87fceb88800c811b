"""Ctrl-C ends a run with a checkpoint, from which it goes on as if it had never ended; a second one stops at once."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from segvit_hf.training import loop
from segvit_hf.training.checkpoints import list_checkpoints
from segvit_hf.training.run_log import RunLog, read_log
from segvit_hf.training.stopping import Interrupts
from tests.training.conftest import REPOSITORY, Scenes, finetune

FLAGS = ["--set", "evaluation.every_steps=2", "--set", "checkpoint.every_steps=100"]


def press_during(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, when: Callable[..., int]) -> None:
    """Sends this process as many interrupts as `when` says before each call of a function that really runs."""
    real = getattr(owner, name)

    def pressed(*arguments: Any, **named: Any) -> Any:
        for _ in range(when(*arguments)):
            signal.raise_signal(signal.SIGINT)
        return real(*arguments, **named)

    monkeypatch.setattr(owner, name, pressed)


def assert_same_runs(first: Path, second: Path) -> None:
    for folder in ("model", "best_model"):
        expected, found = (load_file(run / folder / "model.safetensors") for run in (first, second))
        assert all(torch.equal(expected[name], found[name]) for name in expected)
    lines = [
        [{k: v for k, v in line.items() if k != "seconds_per_step"} for line in read_log(r)] for r in (first, second)
    ]
    assert lines[0] == lines[1]
    assert (first / "evaluation.json").read_text() == (second / "evaluation.json").read_text()


@pytest.fixture(scope="module")
def straight(scenes: Scenes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("straight") / "run"
    assert finetune([*scenes.flags, *FLAGS, "--output", output]) == 0
    return output


@pytest.mark.parametrize("step", [1, 3])
def test_between_two_steps(
    scenes: Scenes,
    straight: Path,
    tmp_path: Path,
    step: int,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    words = [*scenes.flags, *FLAGS, "--output", tmp_path / "run"]
    with monkeypatch.context() as patch:
        press_during(patch, RunLog, "write", lambda log, done, values: done == step and "loss" in values)
        assert finetune(words) == 130
    (checkpoint,) = list_checkpoints(tmp_path / "run" / "checkpoints")
    assert checkpoint.name == f"step-{step:08d}"
    printed = capfd.readouterr().err
    assert "Traceback" not in printed
    assert printed.endswith(
        f"interrupted. {step} of 6 steps are complete, in {checkpoint}: --resume goes on from there.\n"
    )
    assert "Ctrl-C again stops at once" in printed
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert finetune([*words, "--resume"]) == 0
    assert_same_runs(straight, tmp_path / "run")


def test_in_an_evaluation(
    scenes: Scenes, straight: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    words = [*scenes.flags, *FLAGS, "--output", tmp_path / "run"]
    with monkeypatch.context() as patch:
        press_during(patch, loop, "evaluate_model", lambda *arguments: 1)
        assert finetune(words) == 130
    assert "2 of 6 steps are complete" in capfd.readouterr().err
    assert not (tmp_path / "run" / "best_model").exists()
    # Again, in the evaluation that the resumed run begins with.
    with monkeypatch.context() as patch:
        press_during(patch, loop, "evaluate_model", lambda *arguments: 1)
        assert finetune([*words, "--resume"]) == 130
    assert finetune([*words, "--resume"]) == 0
    assert_same_runs(straight, tmp_path / "run")


def test_the_second_one_stops_at_once(
    scenes: Scenes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    press_during(monkeypatch, RunLog, "write", lambda log, done, values: 2 * (done == 2))
    assert finetune([*scenes.flags, "--output", tmp_path / "run"]) == 130
    printed = capfd.readouterr().err
    assert "Traceback" not in printed
    assert printed.endswith("segvit-hf: interrupted\n")
    assert not list_checkpoints(tmp_path / "run" / "checkpoints")


def test_a_background_job_keeps_ignoring_them() -> None:
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts:
            signal.raise_signal(signal.SIGINT)
            assert not interrupts.asked
    finally:
        signal.signal(signal.SIGINT, previous)


def test_in_a_terminal_the_loaders_workers_get_it_too(scenes: Scenes, tmp_path: Path) -> None:
    # So many steps that it is interrupted on any machine, and so few that a run that is not comes to its end.
    words = [*scenes.flags, "--max-steps", "2000", "--workers", "2", "--output", tmp_path / "run"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src")}
    command = [sys.executable, "-m", "segvit_hf.training", *map(str, words)]
    process = subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True
    )
    while process.poll() is None and len(read_log(tmp_path / "run")) < 3:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    try:
        printed = process.communicate()[1]
    finally:
        process.kill()
    assert process.returncode == 130, printed
    assert "Traceback" not in printed
    (checkpoint,) = list_checkpoints(tmp_path / "run" / "checkpoints")
    assert f"steps are complete, in {checkpoint}" in printed.splitlines()[-1]
