"""SETR in the fine-tuning script: from ImageNet weights, resumed with its running statistics, in two processes."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from segvit_hf.training.run_log import read_log
from tests.reference import load_case
from tests.training.conftest import Scenes, evaluate, finetune, run_with_torchrun

RECIPE = """
model:
  type: setr
  config:
    image_size: 64
    patch_size: 16
    hidden_size: 16
    num_hidden_layers: 2
    num_attention_heads: 2
    intermediate_size: 64
    decoder_type: {decoder_type}
    decoder_hidden_size: 8
    mla_head_hidden_size: 8
    sliding_window: {{crop_size: [64, 64], stride: [43, 43]}}
image_processor:
  size: {{shortest_edge: 64, longest_edge: 256}}
  multi_scale_minimum_short_edge: 64
data: {{workers: 0}}
augmentation: {{size: [256, 64], crop_size: [64, 64]}}
batch: {{effective_size: 4, per_device_size: 2}}
optimizer:
  name: sgd
  learning_rate: 1e-2
  parameter_groups:
    - {{match: '^(decoder|auxiliary_heads)\\.', lr_multiplier: 10}}
schedule: {{max_steps: 4, power: 0.9, minimum_learning_rate: 1e-4}}
evaluation: {{every_steps: 2}}
logging: {{every_steps: 1, tensorboard: false}}
"""


def flags_of(decoder_type: str, scenes: Scenes, folder: Path) -> list[str]:
    """The flags of a run that starts from ImageNet weights in timm's naming."""
    folder.mkdir(exist_ok=True)
    (folder / "recipe.yaml").write_text(RECIPE.format(decoder_type=decoder_type))
    torch.save(load_case("setr", "adapt-vit").state_dict(), folder / "imagenet.pth")
    flags = ["--config", str(folder / "recipe.yaml"), *scenes.flags[2:]]
    return [*flags, "--encoder-weights", str(folder / "imagenet.pth")]


@pytest.mark.parametrize("decoder_type", ["naive", "pup", "mla"])
def test_a_resumed_run_is_the_uninterrupted_one(decoder_type: str, scenes: Scenes, tmp_path: Path) -> None:
    flags = flags_of(decoder_type, scenes, tmp_path)
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    assert finetune([*flags, "--output", str(straight)]) == 0
    assert finetune([*flags, "--output", str(resumed), "--stop-at-step", "2"]) == 0
    assert finetune([*flags, "--output", str(resumed), "--resume"]) == 0
    expected, found = (load_file(run / "model" / "model.safetensors") for run in (straight, resumed))
    assert any(name.endswith("running_var") for name in expected)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    losses = [line for line in read_log(straight) if "loss" in line]
    parts = [name for name in losses[0] if name.endswith("loss_seg")]
    # A model of two layers has two feature maps; the naive decoder reads the deeper one without an auxiliary head.
    assert len(parts) == (2 if decoder_type == "naive" else 3)
    assert losses[0]["loss"] == pytest.approx(sum(losses[0][part] for part in parts), rel=1e-5)
    assert losses[0]["learning_rate/lr_x10_decay_x1"] == pytest.approx(0.1)


def test_two_processes_evaluate_the_model_that_is_saved(scenes: Scenes, tmp_path: Path) -> None:
    flags = flags_of("pup", scenes, tmp_path)
    printed = run_with_torchrun("tests/training/watched_finetuning.py", *flags, "--output", str(tmp_path / "pair"))
    # The statistics of the two processes differ until they are shared.
    assert printed.count("before sharing: 2 different; evaluated with: 1 different") == 2
    assert "seeds: [1, 2]" in printed
    evaluation = ["--model", str(tmp_path / "pair" / "model"), "--images", str(scenes.val_images)]
    evaluation += ["--annotations", str(scenes.val_annotations), "--workers", "0", "--output"]
    assert evaluate([*evaluation, str(tmp_path / "alone.json")]) == 0
    in_training = json.loads((tmp_path / "pair" / "evaluation.json").read_text())
    assert json.loads((tmp_path / "alone.json").read_text()) == in_training
    assert evaluate([*evaluation, str(tmp_path / "scales.json"), "--scales", "0.5", "1", "1.5", "--flip"]) == 0
    assert json.loads((tmp_path / "scales.json").read_text())["num_pictures"] == 3
