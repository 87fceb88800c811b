"""What may change between a run and its continuation, and what may not: field by field of the whole recipe."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from segvit_hf.data import TrainingAugmentation
from segvit_hf.training.checkpoint_state import STATE_FILE, ResumeError, read_state
from segvit_hf.training.checkpoints import list_checkpoints
from segvit_hf.training.recipe import (
    BatchRecipe,
    DataRecipe,
    LayerDecayRecipe,
    ModelRecipe,
    OptimizerRecipe,
    ParameterGroupRule,
    Recipe,
    ScheduleRecipe,
)
from tests.training.conftest import Scenes, finetune

RECIPE = Recipe(
    model=ModelRecipe("segvit", {"hidden_size": 32}),
    data=DataRecipe(label_set="cityscapes"),
    augmentation=TrainingAugmentation(64),
    batch=BatchRecipe(4, 2),
    optimizer=OptimizerRecipe("adamw", 1e-4),
    schedule=ScheduleRecipe(10),
)
DECISIVE: dict[str, Any] = {
    "model.type": "setr",
    "model.config": {"hidden_size": 16},
    "model.freeze_encoder": True,
    "model.lora_rank": 4,
    "image_processor": {"image_mean": [0.1, 0.1, 0.1]},
    "data.label_set": "ade20k",
    "data.reduce_zero_label": True,
    "augmentation.crop_size": (32, 32),
    "augmentation.size": (128, 64),
    "augmentation.scale_range": (0.5, 1.0),
    "augmentation.cat_max_ratio": 0.5,
    "augmentation.flip_probability": 0.1,
    "augmentation.photometric_distortion": False,
    "batch.effective_size": 8,
    "batch.per_device_size": 1,
    "optimizer.name": "sgd",
    "optimizer.learning_rate": 2e-4,
    "optimizer.weight_decay": 0.1,
    "optimizer.betas": (0.8, 0.9),
    "optimizer.epsilon": 1e-4,
    "optimizer.momentum": 0.5,
    "optimizer.nesterov": True,
    "optimizer.max_gradient_norm": 1.0,
    "optimizer.parameter_groups": (ParameterGroupRule("decoder", lr_multiplier=10.0),),
    "optimizer.layer_decay": LayerDecayRecipe(0.9),
    "optimizer.decay_vectors": False,
    "schedule.max_steps": 11,
    "schedule.power": 0.9,
    "schedule.minimum_learning_rate": 1e-6,
    "schedule.warmup_steps": 3,
    "schedule.warmup_ratio": 0.1,
    "runtime.seed": 1,
    "runtime.mixed_precision": "bf16",
    "runtime.gradient_checkpointing": True,
    "runtime.find_unused_parameters": True,
}
FREE: dict[str, Any] = {
    "model.init": "elsewhere",
    "model.encoder_weights": "elsewhere.pth",
    "model.backbone": "elsewhere",
    "data.root": "elsewhere",
    "data.layout": "ade20k",
    "data.classes": "classes.txt",
    "data.workers": 1,
    "data.label_check_samples": 0,
    "data.skip_unreadable": True,
    "evaluation.every_steps": 5,
    "evaluation.batch_size": 2,
    "evaluation.keep_best": False,
    "checkpoint.every_steps": 5,
    "checkpoint.keep_last": 1,
    "logging.every_steps": 5,
    "logging.tensorboard": False,
}
# Where the data lie is free, as long as the identity says that they are the same: see test_finetuning.py.
ELSEWHERE = {"data.train", "data.validation"}


def changed(key: str, value: Any) -> Recipe:
    section, _, field = key.partition(".")
    if not field:
        return dataclasses.replace(RECIPE, **{section: value})
    if key == "data.classes":
        value = {"classes": value, "label_set": RECIPE.data.label_set}
        inner = dataclasses.replace(RECIPE.data)
        object.__setattr__(inner, "classes", value["classes"])
        return dataclasses.replace(RECIPE, data=inner)
    return dataclasses.replace(RECIPE, **{section: dataclasses.replace(getattr(RECIPE, section), **{field: value})})


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    state = {"step": 1, "num_processes": 1, "recipe": RECIPE.to_dict(), "identity": {"a": 1}, "progress": {}}
    (tmp_path / STATE_FILE).write_text(json.dumps(state))
    return tmp_path


def test_every_field_is_decisive_or_free() -> None:
    fields = set()
    for section, values in RECIPE.to_dict().items():
        plain = section == "image_processor"
        fields |= {section} if plain else {f"{section}.{field}" for field in values}
    assert fields == set(DECISIVE) | set(FREE) | ELSEWHERE
    assert not set(DECISIVE) & set(FREE)


@pytest.mark.parametrize("key", DECISIVE)
def test_a_field_that_decides_the_result_may_not_change(key: str, checkpoint: Path) -> None:
    with pytest.raises(ResumeError, match=f"belongs to another run: expected {key}"):
        read_state(checkpoint, changed(key, DECISIVE[key]), {"a": 1})


@pytest.mark.parametrize("key", FREE)
def test_any_other_field_may(key: str, checkpoint: Path) -> None:
    recipe = changed(key, FREE[key])
    assert recipe != RECIPE
    assert read_state(checkpoint, recipe, {"a": 1})["step"] == 1


def test_the_identity_may_not_change(checkpoint: Path) -> None:
    with pytest.raises(ResumeError, match="expected a = 1, found 2"):
        read_state(checkpoint, RECIPE, {"a": 2})


def test_the_best_model_stays_the_best(scenes: Scenes, tmp_path: Path) -> None:
    run = tmp_path / "run"
    flags = [*scenes.flags, "--output", run, "--set", "evaluation.every_steps=1"]
    assert finetune([*flags, "--stop-at-step", "3"]) == 0
    (checkpoint,) = list_checkpoints(run / "checkpoints")
    state = json.loads((checkpoint / STATE_FILE).read_text())
    assert 0 < state["progress"]["best_mean_iou"] < 1
    state["progress"]["best_mean_iou"] = 0.99  # no later evaluation comes near
    (checkpoint / STATE_FILE).write_text(json.dumps(state))
    before = (run / "best_model" / "model.safetensors").read_bytes()
    assert finetune([*flags, "--resume"]) == 0
    assert (run / "best_model" / "model.safetensors").read_bytes() == before
