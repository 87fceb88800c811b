"""ViT-Adapter's recipes agree with the original's configurations, row by row."""

from pathlib import Path
from typing import Any

import pytest

from segvit_hf import get_preset, list_presets
from segvit_hf.conversion.families import FAMILIES
from segvit_hf.conversion.key_mapping import rename_key
from segvit_hf.data import TrainingAugmentation
from segvit_hf.training.optimization.parameter_groups import parameter_multipliers
from segvit_hf.training.recipe import (
    BatchRecipe,
    LayerDecayRecipe,
    OptimizerRecipe,
    Recipe,
    RuntimeRecipe,
    ScheduleRecipe,
    load_recipe,
)
from tests.conversion.released_manifests import manifest_of

RECIPES = Path(__file__).parents[2] / "training" / "recipes"


def recipe_of(name: str) -> Recipe:
    path = RECIPES / f"{name}.yaml"
    return load_recipe(path)


# The scale of mmsegmentation's evaluation is that of training, except here.
TRAINING_SCALES = {"pascal_context_59": (520, 520)}
MASK2FORMER_EMBEDDINGS = ["mask_head", "class_head", "level_embeddings", "query_positions", "query_features"]


def layer_decay_of(optimizer: dict[str, Any], recipe: Recipe) -> LayerDecayRecipe | None:
    """What the original's layer-decay constructor does: nothing else decides a rate or a decay."""
    if "layer_decay_rate" not in optimizer["paramwise_cfg"]:
        return None
    assert optimizer["constructor"] == "LayerDecayOptimizerConstructor"
    # It takes what has no number and is no head for embeddings: so it does with Mask2Former's own parameters.
    early = (
        (f"^decoder\\.({'|'.join(MASK2FORMER_EMBEDDINGS)})\\.",) if "mask2former" in str(recipe.model.config) else ()
    )
    return LayerDecayRecipe(optimizer["paramwise_cfg"]["layer_decay_rate"], early)


@pytest.mark.parametrize("name", list_presets("vit-adapter-*"))
def test_training_is_that_of_the_original(name: str) -> None:
    recipe, preset = recipe_of(name), get_preset(name)
    case = manifest_of(preset)
    protocol = case.meta["protocol"]
    optimizer, schedule = protocol["optimizer"], protocol["lr_config"]
    decay = layer_decay_of(optimizer, recipe)
    assert recipe.optimizer == OptimizerRecipe(
        name=optimizer["type"].lower(),
        learning_rate=optimizer["lr"],
        weight_decay=optimizer["weight_decay"],
        betas=tuple(optimizer["betas"]),
        layer_decay=decay,
        decay_vectors=decay is None,
        # Parameter by parameter below.
        parameter_groups=() if decay is not None else recipe.optimizer.parameter_groups,
    )
    assert (schedule["policy"], schedule["warmup"], schedule["by_epoch"]) == ("poly", "linear", False)
    assert recipe.schedule == ScheduleRecipe(
        max_steps=protocol["runner"]["max_iters"],
        power=schedule["power"],
        minimum_learning_rate=schedule["min_lr"],
        warmup_steps=schedule["warmup_iters"],
        warmup_ratio=schedule["warmup_ratio"],
    )
    (views,) = (step for step in protocol["test_pipeline"] if step["type"] == "MultiScaleFlipAug")
    assert recipe.augmentation == TrainingAugmentation(
        crop_size=tuple(case.arch["test_cfg"]["crop_size"]),
        size=TRAINING_SCALES.get(preset.label_set.name, tuple(views["img_scale"])),
        scale_range=(0.5, 2.0),
        cat_max_ratio=0.75,
        flip_probability=0.5,
        photometric_distortion=True,
    )
    # Trained on 8 GPUs, or on 16 with one photo each.
    assert recipe.batch == BatchRecipe(effective_size=16, per_device_size=protocol["samples_per_gpu"])
    assert recipe.runtime == RuntimeRecipe(
        gradient_checkpointing=case.arch["backbone"]["with_cp"],
        mixed_precision="fp16" if protocol["fp16"] is not None else None,
    )
    assert (recipe.model.init is not None) == (protocol["load_from"] is not None)


def test_groups_equal_the_originals_parameter_by_parameter() -> None:
    name = "vit-adapter-upernet-augreg-base-ade20k"  # the only one without layer decay
    recipe, case = recipe_of(name), manifest_of(get_preset(name))
    keys = case.meta["protocol"]["optimizer"]["paramwise_cfg"]["custom_keys"]
    rules = FAMILIES["vit_adapter"].rules(FAMILIES["vit_adapter"].config_from_original({"model": case.arch}))
    names = {key: rename_key(key, rules) for key in case.meta["keys"]}
    used = {key: ours for key, ours in names.items() if ours is not None and not ours.startswith("dropped: ")}
    multipliers = parameter_multipliers(used.values(), recipe.optimizer.parameter_groups)
    # mmcv tries the longest first, and equal lengths in alphabetical order.
    ordered = sorted(sorted(keys), key=len, reverse=True)
    for key, ours in used.items():
        if "running_" in key or "num_batches" in key:
            continue
        found = next((keys[part] for part in ordered if part in key), {})
        assert multipliers[ours] == (found.get("lr_mult", 1.0), found.get("decay_mult", 1.0)), key
