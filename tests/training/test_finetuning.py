"""The fine-tuning script on two folders: it trains, saves what the Auto classes load, and resumes bit for bit."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation

import segvit_hf
from segvit_hf.training.checkpoints import STATE_FILE, list_checkpoints
from segvit_hf.training.demo.scenes import CLASS_NAMES
from segvit_hf.training.run_log import read_log
from tests.training.conftest import Scenes
from tests.training.conftest import finetune as main


def test_two_folders_give_a_model_that_the_auto_classes_load(scenes: Scenes, tmp_path: Path) -> None:
    flags = [*scenes.flags, "--output", str(tmp_path / "run"), "--set", "checkpoint.every_steps=2"]
    assert main([*flags, "--set", "evaluation.every_steps=3"]) == 0
    log = read_log(tmp_path / "run")
    losses = [line for line in log if "loss" in line]
    assert [line["step"] for line in losses] == [1, 2, 3, 4, 5, 6]
    parts = [name for name in losses[0] if name.startswith("loss_")]
    assert len(parts) == 6
    assert losses[0]["loss"] == pytest.approx(sum(losses[0][part] for part in parts), rel=1e-5)
    assert losses[2]["learning_rate/lr_x10_decay_x1"] == pytest.approx(1e-2 * (1 - 2 / 6))
    assert [path.name for path in list_checkpoints(tmp_path / "run" / "checkpoints")] == [
        "step-00000004",
        "step-00000006",
    ]
    for folder in ("model", "best_model"):
        model = AutoModelForSemanticSegmentation.from_pretrained(tmp_path / "run" / folder)
        assert (tmp_path / "run" / folder / "segvit_hf_auto.py").is_file()
        processor = AutoImageProcessor.from_pretrained(tmp_path / "run" / folder)
        assert list(model.config.id2label.values()) == list(CLASS_NAMES)
        photo = Image.open(scenes.val_images / "scene_0000.png")
        assert segvit_hf.segment(model.eval(), processor, photo).shape == (photo.height, photo.width)
    evaluation = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert [entry["name"] for entry in evaluation["per_class"]] == list(CLASS_NAMES)
    assert evaluation["num_pictures"] == 3


def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(scenes: Scenes, tmp_path: Path) -> None:
    flags = [*scenes.flags, "--set", "evaluation.every_steps=2"]
    straight, resumed = str(tmp_path / "straight"), str(tmp_path / "resumed")
    assert main([*flags, "--output", straight]) == 0
    assert main([*flags, "--output", resumed, "--stop-at-step", "3"]) == 0
    assert not (tmp_path / "resumed" / "model").exists()
    torch.rand(7)  # the state of this process must not matter
    assert main([*flags, "--output", resumed, "--resume"]) == 0
    expected = load_file(tmp_path / "straight" / "model" / "model.safetensors")
    found = load_file(tmp_path / "resumed" / "model" / "model.safetensors")
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)

    def numbers(run: str) -> list[dict[str, float]]:
        return [{k: v for k, v in line.items() if k != "seconds_per_step"} for line in read_log(tmp_path / run)]

    assert numbers("straight") == numbers("resumed")


def test_another_recipe_or_other_data_are_not_resumed(
    scenes: Scenes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [*scenes.flags, "--output", str(tmp_path / "run")]
    assert main([*flags, "--stop-at-step", "1"]) == 0
    assert main([*flags, "--resume", "--set", "optimizer.learning_rate=2e-3"]) == 2
    assert "expected optimizer.learning_rate = 0.001, found 0.002" in capsys.readouterr().err
    other = ["--train-images", str(scenes.val_images), "--train-annotations", str(scenes.val_annotations)]
    assert main([*flags, *other, "--resume"]) == 2
    assert "training_pictures = '6 pictures" in capsys.readouterr().err
    assert main(flags) == 2
    assert "expected a new folder, found a run" in capsys.readouterr().err


def test_a_checkpoint_from_before_the_augmentation_moved_is_resumed(
    scenes: Scenes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [*scenes.flags, "--output", str(tmp_path / "run"), "--max-steps", "2"]
    assert main([*flags, "--stop-at-step", "1"]) == 0
    state_file = tmp_path / "run" / "checkpoints" / "step-00000001" / STATE_FILE
    state = json.loads(state_file.read_text())
    state["recipe"]["data"]["augmentation"] = state["recipe"].pop("augmentation")
    state_file.write_text(json.dumps(state))
    assert main([*flags, "--resume", "--set", "augmentation.flip_probability=0.4"]) == 2
    assert "expected augmentation.flip_probability = 0.5, found 0.4" in capsys.readouterr().err
    assert main([*flags, "--resume"]) == 0
    assert (tmp_path / "run" / "model").is_dir()


def test_what_a_killed_run_left_unfinished_goes(scenes: Scenes, tmp_path: Path) -> None:
    flags = [*scenes.flags, "--output", str(tmp_path / "run"), "--max-steps", "2"]
    assert main([*flags, "--stop-at-step", "1"]) == 0
    checkpoints = tmp_path / "run" / "checkpoints"
    (checkpoints / ".step-00000002.abc.tmp" / "step-00000002").mkdir(parents=True)
    assert main([*flags, "--resume", "--set", "checkpoint.every_steps=1"]) == 0
    assert sorted(path.name for path in checkpoints.iterdir()) == ["step-00000001", "step-00000002"]


def test_another_class_count_starts_only_the_class_layers_anew(
    scenes: Scenes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one_step = ["--max-steps", "1", "--set", "schedule.warmup_steps=1"]
    assert main([*scenes.flags, "--output", str(tmp_path / "first"), *one_step]) == 0
    more = tmp_path / "classes.txt"
    more.write_text("\n".join([*CLASS_NAMES, "bridge"]))
    flags = [*scenes.flags, "--classes", str(more), "--init", str(tmp_path / "first" / "model"), *one_step]
    # A learning rate this small leaves the loaded weights as they are.
    still = ["--set", "optimizer.learning_rate=1e-30", "--set", "optimizer.weight_decay=0"]
    assert main([*flags, *still, "--output", str(tmp_path / "second")]) == 0
    before = load_file(tmp_path / "first" / "model" / "model.safetensors")
    after = load_file(tmp_path / "second" / "model" / "model.safetensors")
    changed = sorted(
        name
        for name in before
        if before[name].shape != after[name].shape or not torch.allclose(before[name], after[name], rtol=0, atol=1e-12)
    )
    assert changed == ["decoder.class_head.bias", "decoder.class_head.weight", "decoder.class_queries.weight"]
    capsys.readouterr()
    assert main([*flags, "--set", "model.config.hidden_size=32", "--output", str(tmp_path / "third")]) == 2
    assert "have other shapes than the recipe's model.config" in capsys.readouterr().err
    assert (
        main([*flags, "--set", "image_processor.image_mean=[0.1, 0.1, 0.1]", "--output", str(tmp_path / "third")]) == 2
    )
    assert "image_processor.image_mean: expected [0.5, 0.5, 0.5]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--classes", "CLASSES"], "id 3 is out of range"),
        (
            ["--set", "model.type=unet"],
            "model.type: expected a model type among hlg, linear_head, segmenter, segvit, setr, vit_adapter",
        ),
        (["--set", "model.config.depth=3"], "model.config: unknown fields of SegVitConfig: depth"),
        (["--set", "image_processor.sise=3"], "unknown arguments ['sise']"),
        (["--set", "batch.effective_size=5"], "multiple of per_device_size x processes, found 5 and 2 x 1 = 2"),
        (["--train-images", "MISSING"], "MISSING, does not exist"),
        (["--init", "MISSING"], "model.init: cannot load MISSING"),
    ],
)
def test_what_does_not_fit_is_said_before_training(
    scenes: Scenes, tmp_path: Path, flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "CLASSES").write_text("a\nb\nc\n")
    flags = [str(tmp_path / flag) if flag == "CLASSES" else flag for flag in flags]
    assert main([*scenes.flags, "--output", str(tmp_path / "run"), *flags]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run" / "model").exists()
