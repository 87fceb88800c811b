"""ViT-Adapter's recipes agree with the original's configurations, row by row."""

from pathlib import Path

import pytest

from segvit_hf.conversion.vit_adapter.family import plan_conversion
from segvit_hf.encoders.configuration_vit import as_pair
from segvit_hf.training.data.sources import load_label_set
from segvit_hf.training.model_building import build_config, build_image_processor
from segvit_hf.training.recipe import Recipe, load_recipe
from tests.conversion.test_vit_adapter_conversion import PRESETS, manifest_of
from tests.reference import load_case

RECIPES = Path(__file__).parents[2] / "training" / "recipes"


def recipe_of(name: str) -> Recipe:
    path = RECIPES / f"{name}.yaml"
    return load_recipe(path)


def test_every_released_row_has_a_recipe() -> None:
    assert {path.stem for path in RECIPES.glob("vit-adapter-*.yaml")} == set(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_model_and_image_processor_are_those_of_the_preset(name: str) -> None:
    recipe, plan = recipe_of(name), plan_conversion({}, PRESETS[name].original)
    classes = load_label_set(recipe.data)
    config = build_config(recipe, classes)
    ignored = {"palette", "encoder_out_indices"}  # recipes leave the latter to the default, compared below
    ours, theirs = (
        {key: value for key, value in c.to_dict().items() if key not in ignored} for c in (config, plan.config)
    )
    for fields in (ours, theirs):  # a number or a pair of equal numbers
        fields["image_size"] = as_pair(fields["image_size"])
        fields["mask_feature_size"] = fields["mask_feature_size"] or fields["decoder_hidden_size"]
    assert ours == theirs
    assert config.encoder_out_indices == plan.config.encoder_out_indices
    processor = build_image_processor(recipe, config, classes)
    assert processor.to_dict() == plan.image_processor.to_dict()


@pytest.mark.parametrize("name", PRESETS)
def test_training_is_that_of_the_original(name: str) -> None:
    recipe, case = recipe_of(name), load_case("vit_adapter", manifest_of(PRESETS[name].file_name))
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
