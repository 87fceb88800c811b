"""The log of a run: JSON lines that survive a kill, and TensorBoard beside them."""

import importlib.util
import json
from pathlib import Path

import pytest
from accelerate import Accelerator
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from segvit_hf.training.run_log import LOG_FILE, RunLog, read_log
from tests.training.conftest import Scenes, finetune


def test_tensorboard_shows_what_the_log_says(scenes: Scenes, tmp_path: Path) -> None:
    assert finetune([*scenes.flags, "--output", tmp_path / "run", "--tensorboard"]) == 0
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    lines = [line for line in read_log(tmp_path / "run") if "loss" in line]
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [
        (line["step"], pytest.approx(line["loss"], rel=1e-6)) for line in lines
    ]
    assert [event.step for event in events.Scalars("evaluation/mean_iou")] == [6]
    assert "learning_rate/lr_x10_decay_x1" in events.Tags()["scalars"]


def test_a_missing_tensorboard_is_said_before_training(
    scenes: Scenes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "tensorboard" else real(name, *rest)
    )
    assert finetune([*scenes.flags, "--output", tmp_path / "run", "--tensorboard"]) == 2
    assert "expected the package tensorboard, found none" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert finetune([*scenes.flags, "--output", tmp_path / "run", "--no-tensorboard", "--stop-at-step", "1"]) == 0


def test_a_half_written_last_line_is_left_out(tmp_path: Path) -> None:
    (tmp_path / LOG_FILE).write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "lo')
    assert read_log(tmp_path) == [{"step": 1, "loss": 2.0}]
    log = RunLog(Accelerator(cpu=True), tmp_path, first_step=1, tensorboard=False)
    log.write(2, {"loss": float("nan"), "norm": 1.5})
    assert read_log(tmp_path) == [{"step": 1, "loss": 2.0}, {"step": 2, "loss": None, "norm": 1.5}]


@pytest.mark.parametrize(("first_step", "due", "kept"), [(0, False, 0), (2, False, 4), (2, True, 3), (1, False, 2)])
def test_a_resumed_run_drops_what_it_will_write_again(tmp_path: Path, first_step: int, due: bool, kept: int) -> None:
    lines = [{"step": 1, "loss": 1.0}, {"step": 1, "evaluation/mean_iou": 0.1}]
    lines += [{"step": 2, "loss": 1.0}, {"step": 2, "evaluation/mean_iou": 0.2}, {"step": 3, "loss": 1.0}]
    (tmp_path / LOG_FILE).write_text("".join(json.dumps(line) + "\n" for line in lines))
    RunLog(Accelerator(cpu=True), tmp_path, first_step, tensorboard=False, evaluation_due=due)
    assert read_log(tmp_path) == lines[:kept]


def test_a_run_that_has_not_begun_has_no_log(tmp_path: Path) -> None:
    assert read_log(tmp_path) == []
