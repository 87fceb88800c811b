"""A damaged checkpoint names itself and the one before it, which `--fall-back` goes on from."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from segvit_hf.training.checkpoints import STATE_FILE, list_checkpoints
from tests.hostile.checkpoints import DAMAGES, change_state, cut
from tests.training.conftest import Scenes, finetune


@pytest.fixture(scope="module")
def stopped(scenes: Scenes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 6 steps that has checkpoints after 2 and 4."""
    output = tmp_path_factory.mktemp("stopped") / "run"
    assert finetune([*flags_of(scenes, output), "--stop-at-step", "4"]) == 0
    return output


@pytest.fixture
def run(stopped: Path, tmp_path: Path) -> Path:
    shutil.copytree(stopped, tmp_path / "run")
    return tmp_path / "run"


def flags_of(scenes: Scenes, output: Path) -> list[str]:
    return [*scenes.flags, "--output", str(output), "--set", "checkpoint.every_steps=2"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_it_names_itself_and_the_one_before_it(
    scenes: Scenes, run: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name, harm, message = DAMAGES[damage]
    older, newest = list_checkpoints(run / "checkpoints")
    harm(newest / name)
    assert finetune([*flags_of(scenes, run), "--resume"]) == 2
    printed = capsys.readouterr().err
    assert "Traceback" not in printed
    assert f"error: {newest}: damaged: " in printed
    assert message in printed
    assert printed.endswith(f"The checkpoint before it is {older}: --fall-back goes on from there.\n")


@pytest.fixture(scope="module")
def straight(scenes: Scenes, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    output = tmp_path_factory.mktemp("straight") / "run"
    assert finetune(flags_of(scenes, output)) == 0
    return load_file(output / "model" / "model.safetensors")


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_run_falls_back_when_asked(
    scenes: Scenes, run: Path, damage: str, straight: dict[str, torch.Tensor], caplog: pytest.LogCaptureFixture
) -> None:
    name, harm, _ = DAMAGES[damage]
    older, newest = list_checkpoints(run / "checkpoints")
    harm(newest / name)
    assert finetune([*flags_of(scenes, run), "--resume", "--fall-back"]) == 0
    assert f"Falling back to {older}." in caplog.text
    assert f"resumed from {older} after 2 steps" in caplog.text
    found = load_file(run / "model" / "model.safetensors")
    assert all(torch.equal(straight[name], found[name]) for name in straight)


def test_without_an_older_one_there_is_none_to_fall_back_to(
    scenes: Scenes, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for checkpoint in list_checkpoints(run / "checkpoints"):
        cut(checkpoint / "optimizer.bin")
    assert finetune([*flags_of(scenes, run), "--resume", "--fall-back"]) == 2
    assert "There is no older checkpoint beside it." in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["optimizer.bin cut", "model.safetensors cut", "random_states_of_process_0.pt cut"])
def test_a_checkpoint_from_before_there_were_checksums_is_tried(
    scenes: Scenes,
    run: Path,
    damage: str,
    straight: dict[str, torch.Tensor],
    capsys: pytest.CaptureFixture[str],
) -> None:
    for checkpoint in list_checkpoints(run / "checkpoints"):
        change_state(checkpoint / STATE_FILE, files=None)
    name, harm, _ = DAMAGES[damage]
    harm(list_checkpoints(run / "checkpoints")[-1] / name)
    assert finetune([*flags_of(scenes, run), "--resume"]) == 2
    assert "damaged: expected files that can be read, found: " in capsys.readouterr().err
    assert finetune([*flags_of(scenes, run), "--resume", "--fall-back"]) == 0
    found = load_file(run / "model" / "model.safetensors")
    assert all(torch.equal(straight[name], found[name]) for name in straight)


def test_falling_back_is_only_for_damage(scenes: Scenes, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = [*flags_of(scenes, run), "--resume", "--fall-back", "--seed", "3"]
    assert finetune(flags) == 2
    assert "belongs to another run: expected runtime.seed = 0, found 3" in capsys.readouterr().err


def test_a_checkpoint_is_named_by_its_path(
    scenes: Scenes, run: Path, straight: dict[str, torch.Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    older, _ = list_checkpoints(run / "checkpoints")
    flags = flags_of(scenes, run)
    assert finetune([*flags, "--resume", run / "checkpoints" / "step-00000003"]) == 2
    assert f"expected a checkpoint folder with {STATE_FILE}, found none" in capsys.readouterr().err
    shutil.copytree(older, run.parent / "kept")  # also under another name
    (run.parent / "kept" / STATE_FILE).rename(run.parent / "state")
    assert finetune([*flags, "--resume", run.parent / "kept"]) == 2
    (run.parent / "state").rename(run.parent / "kept" / STATE_FILE)
    assert finetune([*flags, "--resume", run.parent / "kept"]) == 0
    found = load_file(run / "model" / "model.safetensors")
    assert all(torch.equal(straight[name], found[name]) for name in straight)


@pytest.mark.parametrize("step", [0, -3, 7])
def test_the_step_of_a_renamed_checkpoint_is_one_of_the_run(
    scenes: Scenes, run: Path, step: int, capsys: pytest.CaptureFixture[str]
) -> None:
    renamed = list_checkpoints(run / "checkpoints")[-1].rename(run / "renamed")
    change_state(renamed / STATE_FILE, step=step)
    assert finetune([*flags_of(scenes, run), "--resume", renamed]) == 2
    assert f"expected a step from 1 to 6 in {STATE_FILE}, found {step}." in capsys.readouterr().err


def test_an_incomplete_folder_is_not_the_latest(scenes: Scenes, run: Path, caplog: pytest.LogCaptureFixture) -> None:
    incomplete = run / "checkpoints" / "step-00000005"
    shutil.copytree(list_checkpoints(run / "checkpoints")[-1], incomplete)
    (incomplete / STATE_FILE).unlink()
    assert finetune([*flags_of(scenes, run), "--resume"]) == 0
    assert "step-00000004 after 4 steps" in caplog.text


def test_a_run_that_ended_before_its_first_checkpoint_is_started_again(
    scenes: Scenes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [*scenes.flags, "--output", tmp_path / "run", "--set", "schedule.warmup_steps=1"]
    assert finetune([*flags, "--set", "optimizer.learning_rate=1e30"]) == 2
    assert (tmp_path / "run" / "log.jsonl").is_file()
    assert finetune([*flags, "--resume"]) == 2
    assert "without --resume the run starts from the beginning" in capsys.readouterr().err
    assert finetune([*flags, "--max-steps", "1"]) == 0
    assert finetune(flags) == 2
    assert "expected a new folder, found a run (model, best_model)" in capsys.readouterr().err


@pytest.mark.parametrize("left", ["best_model", "model", "checkpoints/step-00000003"])
def test_a_model_or_a_checkpoint_is_not_written_over(
    scenes: Scenes, tmp_path: Path, left: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run" / left).mkdir(parents=True)
    assert finetune([*scenes.flags, "--output", tmp_path / "run"]) == 2
    assert f"found a run ({Path(left).name})" in capsys.readouterr().err


def test_falling_back_needs_something_to_resume(scenes: Scenes, capsys: pytest.CaptureFixture[str]) -> None:
    assert finetune([*scenes.flags, "--fall-back"]) == 2
    assert "--fall-back: expected --resume with it" in capsys.readouterr().err
