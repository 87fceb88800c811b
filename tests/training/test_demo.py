"""The demonstration from beginning to end, with few scenes and steps."""

import json
from pathlib import Path

import pytest
from PIL import Image

from segvit_hf.training.demo import __main__ as demo

STEPS = ["--set", "schedule.max_steps=2", "--set", "schedule.warmup_steps=1", "--set", "data.workers=0"]


def test_it_trains_reloads_draws_and_says_that_two_steps_are_not_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "TRAINING_SCENES", 6)
    monkeypatch.setattr(demo, "HELD_OUT_SCENES", 2)
    output = tmp_path / "demo"
    (output / "run" / "model").mkdir(parents=True)  # of an earlier demonstration
    assert demo.main(["--output", str(output), *STEPS]) == 1
    printed = capsys.readouterr()
    score = json.loads((output / "run" / "evaluation.json").read_text())["mean_iou"]
    assert f"{score:.4f} by the reloaded model's pipeline, {score:.4f} at the end of training" in printed.out
    assert f"error: expected a mIoU of at least 0.8, found {score:.4f}" in printed.err
    assert Image.open(output / "overlay.png").width > 0
    assert "recipe.yaml" in {path.name for path in (output / "run").iterdir()}
