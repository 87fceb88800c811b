"""ViT-Adapter's recipes agree with the original's configurations, row by row."""

from pathlib import Path

import pytest

from segvit_hf import get_preset, list_presets
from segvit_hf.training.recipe import Recipe, load_recipe
from tests.conversion.released_manifests import manifest_of

RECIPES = Path(__file__).parents[2] / "training" / "recipes"


def recipe_of(name: str) -> Recipe:
    path = RECIPES / f"{name}.yaml"
    return load_recipe(path)


@pytest.mark.parametrize("name", list_presets("vit-adapter-*"))
def test_training_is_that_of_the_original(name: str) -> None:
    recipe, case = recipe_of(name), manifest_of(get_preset(name))
    protocol = case.meta["protocol"]
    optimizer, groups = protocol["optimizer"], protocol["optimizer"]["paramwise_cfg"]
    assert recipe.optimizer.learning_rate == optimizer["lr"]
    assert recipe.optimizer.weight_decay == optimizer["weight_decay"]
    assert list(recipe.optimizer.betas) == optimizer["betas"]
    assert recipe.optimizer.max_gradient_norm is None
    decay = recipe.optimizer.layer_decay
    assert (None if decay is None else decay.rate) == groups.get("layer_decay_rate")
    assert recipe.optimizer.decay_vectors == (decay is None)
    assert recipe.schedule.max_steps == protocol["runner"]["max_iters"]
    assert recipe.schedule.warmup_steps == protocol["lr_config"]["warmup_iters"]
    assert recipe.schedule.warmup_ratio == protocol["lr_config"]["warmup_ratio"]
    assert recipe.schedule.power == protocol["lr_config"]["power"]
    assert recipe.batch.per_device_size == protocol["samples_per_gpu"]
    assert recipe.runtime.gradient_checkpointing == case.arch["backbone"]["with_cp"]
    assert (recipe.runtime.mixed_precision == "fp16") == (protocol["fp16"] is not None)
    assert list(recipe.augmentation.crop_size) == case.arch["test_cfg"]["crop_size"]
    assert (recipe.model.init is not None) == (protocol["load_from"] is not None)
