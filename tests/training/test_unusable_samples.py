"""A photo or a label map that cannot be used ends a run with a checkpoint and one line, or is skipped and counted."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from segvit_hf.training.checkpoints import list_checkpoints
from segvit_hf.training.data.sampling import SampleOrder
from segvit_hf.training.run_log import read_log
from tests.hostile import samples
from tests.hostile.samples import DAMAGES, corrupt
from tests.training.conftest import Scenes, evaluate, finetune, run_with_torchrun

# The first photo that the second step is the first to use: 6 photos, 4 a step, seed 0.
LATE = f"scene_{SampleOrder(6, seed=0).request(4).index:04d}.png"


@pytest.fixture
def copy(scenes: Scenes, tmp_path: Path) -> samples.Scenes:
    shutil.copytree(scenes.root, tmp_path / "scenes")
    flags = [flag.replace(str(scenes.root), str(tmp_path / "scenes")) for flag in scenes.flags]
    return samples.Scenes(tmp_path / "scenes", flags)


each_damage = pytest.mark.parametrize("damage", DAMAGES)


def no_check(*words: str) -> list[str]:
    return ["--set", "data.label_check_samples=0", *words]


def last_line(captured: str) -> str:
    assert "Traceback" not in captured
    (line,) = [line for line in captured.splitlines() if line.startswith("error: ")]
    return line


def weights(run: Path, folder: str = "model") -> dict[str, torch.Tensor]:
    return load_file(run / folder / "model.safetensors")


def assert_same_weights(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@each_damage
@pytest.mark.parametrize("workers", ["0", "2"])
def test_the_run_ends_with_a_checkpoint_and_goes_on_when_the_file_is_repaired(
    copy: samples.Scenes, scenes: Scenes, tmp_path: Path, damage: str, workers: str, capfd: pytest.CaptureFixture[str]
) -> None:
    harm, message = DAMAGES[damage]
    flags = [*copy.flags, *no_check("--workers", workers)]
    path = harm(copy, "train", LATE)
    assert finetune([*flags, "--output", tmp_path / "run"]) == 1
    checkpoint = tmp_path / "run" / "checkpoints" / "step-00000001"
    line = last_line(capfd.readouterr().err)
    assert str(path) in line
    assert message in line
    assert f"1 of 6 steps are complete, in {checkpoint}: --resume goes on from there." in line
    assert list_checkpoints(checkpoint.parent) == [checkpoint]
    assert not (tmp_path / "run" / "model").exists()

    shutil.copytree(scenes.root, copy.root, dirs_exist_ok=True)
    assert finetune([*flags, "--output", tmp_path / "run", "--resume"]) == 0
    assert finetune([*flags, "--output", tmp_path / "straight"]) == 0
    assert_same_weights(weights(tmp_path / "straight"), weights(tmp_path / "run"))


def test_before_the_first_step_nothing_is_left_to_go_on_from(
    copy: samples.Scenes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    first = SampleOrder(6, seed=0).request(0).index
    corrupt(copy, "train", f"scene_{first:04d}.png")
    assert finetune([*copy.flags, "--output", tmp_path / "run"]) == 1
    assert "No step was complete, nothing was saved." in last_line(capfd.readouterr().err)
    assert not list_checkpoints(tmp_path / "run" / "checkpoints")


@each_damage
def test_a_validation_photo_ends_the_run_after_its_last_step(
    copy: samples.Scenes, scenes: Scenes, tmp_path: Path, damage: str, capfd: pytest.CaptureFixture[str]
) -> None:
    harm, message = DAMAGES[damage]
    flags = [*copy.flags, *no_check("--set", "evaluation.every_steps=2")]
    path = harm(copy, "val", "scene_0001.png")
    assert finetune([*flags, "--output", tmp_path / "run"]) == 1
    line = last_line(capfd.readouterr().err)
    assert str(path) in line
    assert message in line
    assert "2 of 6 steps are complete" in line

    shutil.copytree(scenes.root, copy.root, dirs_exist_ok=True)
    assert finetune([*flags, "--output", tmp_path / "run", "--resume"]) == 0
    assert finetune([*flags, "--output", tmp_path / "straight"]) == 0
    # The evaluation that was cut off is made up for before the third step.
    for folder in ("model", "best_model"):
        assert_same_weights(weights(tmp_path / "straight", folder), weights(tmp_path / "run", folder))
    assert numbers(tmp_path / "run") == numbers(tmp_path / "straight")


def numbers(run: Path) -> list[dict[str, float]]:
    return [{name: v for name, v in line.items() if name != "seconds_per_step"} for line in read_log(run)]


@each_damage
def test_skipped_samples_are_replaced_and_counted(
    copy: samples.Scenes, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    DAMAGES[damage][0](copy, "train", LATE)
    DAMAGES[damage][0](copy, "val", "scene_0001.png")
    flags = [*copy.flags, "--skip-unreadable"]
    assert finetune([*flags, "--output", tmp_path / "run"]) == 0
    evaluation = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert (evaluation["num_pictures"], evaluation["num_skipped"]) == (2, 1)
    by_step = {line["step"]: line["skipped_samples"] for line in read_log(tmp_path / "run") if "loss" in line}
    order = SampleOrder(6, seed=0)
    bad = order.request(4).index
    expected = [sum(order.request(number).index == bad for number in range(4 * s, 4 * s + 4)) for s in range(6)]
    assert list(by_step.values()) == expected
    messages = [record.message for record in caplog.records if record.message.startswith("skipped: ")]
    assert len(messages) == 2  # one in training, however often it comes, and one in the evaluation
    assert f"{sum(expected)} samples were skipped, for 1 reasons: " in caplog.text


def test_with_skipped_samples_a_run_depends_on_seed_and_step_alone(copy: samples.Scenes, tmp_path: Path) -> None:
    corrupt(copy, "train", LATE)
    flags = [*copy.flags, "--skip-unreadable", "--output"]
    assert finetune([*flags, tmp_path / "straight"]) == 0
    assert finetune([*flags, tmp_path / "workers", "--workers", "2"]) == 0
    # Skipping may also be what a run that was ended by the photo goes on with.
    assert finetune([*copy.flags, "--output", tmp_path / "resumed"]) == 1
    assert finetune([*flags, tmp_path / "resumed", "--resume"]) == 0
    assert_same_weights(weights(tmp_path / "straight"), weights(tmp_path / "workers"))
    assert_same_weights(weights(tmp_path / "straight"), weights(tmp_path / "resumed"))


def test_where_nothing_can_be_used_nothing_is_skipped_for_ever(
    copy: samples.Scenes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for path in (copy.root / "train" / "images").iterdir():
        path.write_bytes(b"no photo")
    assert finetune([*copy.flags, "--skip-unreadable", "--output", tmp_path / "run"]) == 1
    assert "6 samples in a row cannot be used; the last one: " in last_line(capfd.readouterr().err)


@each_damage
@pytest.mark.parametrize("words", [["--workers", "0"], ["--workers", "2", "--scales", "0.5", "1"]])
def test_the_evaluation_command_says_so_in_one_line_or_skips(
    copy: samples.Scenes,
    model_folder: Path,
    tmp_path: Path,
    damage: str,
    words: list[str],
    capfd: pytest.CaptureFixture[str],
) -> None:
    flags = ["--model", model_folder, "--images", copy.root / "val" / "images", *words]
    flags += ["--annotations", copy.root / "val" / "annotations"]
    path = DAMAGES[damage][0](copy, "val", "scene_0001.png")
    status = evaluate(flags)
    line = last_line(capfd.readouterr().err)
    if damage == "unknown label":  # found by the check before the evaluation, which reads label maps
        assert (status, line) == (2, "error: --annotations: the label maps do not fit the 6 classes")
    else:
        assert status == 1
        assert str(path) in line
    assert evaluate([*flags, "--skip-unreadable", "--output", tmp_path / "result.json"]) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["num_pictures"], result["num_skipped"]) == (2, 1)


def test_two_processes_end_together(copy: samples.Scenes, tmp_path: Path) -> None:
    path = corrupt(copy, "train", LATE)
    output = tmp_path / "run"
    printed = run_with_torchrun("training/finetune.py", *copy.flags, "--output", str(output), status=1)
    assert printed.count(f"{path}: the photo cannot be read") == 1
    assert [checkpoint.name for checkpoint in list_checkpoints(output / "checkpoints")] == ["step-00000001"]
    flags = [*copy.flags, "--output", str(output), "--resume", "--skip-unreadable"]
    printed = run_with_torchrun("training/finetune.py", *flags)
    assert "samples were skipped, for 1 reasons" in printed
    assert (output / "model").is_dir()
