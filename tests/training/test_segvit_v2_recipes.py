"""SegViTv2's recipes: groups and learning rates are those of mmengine for the published configurations."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSemanticSegmentation

from segvit_hf.conversion.convert import expected_shapes
from segvit_hf.conversion.families import FAMILIES
from segvit_hf.conversion.key_mapping import rename_key
from segvit_hf.data import get_label_set
from segvit_hf.training.model_building import build_config, build_image_processor
from segvit_hf.training.optimization.parameter_groups import parameter_multipliers
from segvit_hf.training.optimization.schedule import poly_learning_rate
from segvit_hf.training.recipe import ParameterGroupRule, ScheduleRecipe, load_recipe
from tests.reference import ReferenceCase, load_case

RECIPES = Path(__file__).parents[2] / "training" / "recipes"
VIT_B = RECIPES / "segvit-v2-vit-b-ade20k.yaml"
DATA_SETS = {
    "vit-b-ade20k": "ade20k",
    "beitv2-l-ade20k": "ade20k",
    "beitv2-l-cocostuff10k": "coco_stuff_10k",
    "beitv2-l-pascal-context59": "pascal_context_59",
}


def multipliers(case: ReferenceCase, rules: tuple[ParameterGroupRule, ...]) -> dict[str, tuple[float, float]]:
    """By the original's names: factor of the learning rate, and weight decay."""
    family = FAMILIES["segvit"]
    table = family.rules(family.config_from_original({"model": case.arch}))
    names = {key: rename_key(key, table) for key in case.meta["params"]}
    found = parameter_multipliers([name for name in names.values() if name], rules)
    decay = case.meta["optimizer"]["weight_decay"]
    return {key: (found[name][0], found[name][1] * decay) for key, name in names.items() if name}


def recorded(case: ReferenceCase) -> dict[str, tuple[float, float]]:
    return {key: tuple(pair) for key, pair in case.meta["params"].items()}


def test_the_groups_of_all_classes_at_once_are_the_originals() -> None:
    case, optimizer = load_case("segvit", "optimizer-atmv2-base"), load_recipe(VIT_B).optimizer
    assert multipliers(case, optimizer.parameter_groups) == recorded(case)
    original = case.meta["optimizer"]
    assert (optimizer.learning_rate, optimizer.weight_decay, list(optimizer.betas), optimizer.max_gradient_norm) == (
        original["lr"],
        original["weight_decay"],
        original["betas"],
        None,
    )


def test_the_groups_of_a_continual_step_are_version_1s() -> None:
    case = load_case("segvit", "optimizer-atmv2-continual")
    assert multipliers(case, load_recipe(RECIPES / "segvit-vit-b-ade20k.yaml").optimizer.parameter_groups) == recorded(
        case
    )


@pytest.mark.parametrize("name", ["optimizer-atmv2-base", "optimizer-atmv2-continual"])
def test_the_learning_rate_of_every_step_is_the_originals(name: str) -> None:
    schedule = load_case("segvit", name).meta["schedule"]
    warmup, poly = schedule["param_scheduler"]
    ours = ScheduleRecipe(
        max_steps=poly["end"],
        power=poly["power"],
        warmup_steps=warmup["end"],
        warmup_ratio=warmup["start_factor"],
        decay_after_warmup=True,
    )
    for step, expected in schedule["learning_rate_at_iteration_for_lr_mult_1"].items():
        assert poly_learning_rate(int(step), 2e-5, ours) == pytest.approx(expected, rel=1e-9, abs=1e-20), step
    if name == "optimizer-atmv2-base":
        assert load_recipe(VIT_B).schedule == ours


@pytest.mark.parametrize("name", DATA_SETS)
def test_a_recipe_makes_a_model(name: str) -> None:
    recipe = load_recipe(RECIPES / f"segvit-v2-{name}.yaml")
    label_set = get_label_set(DATA_SETS[name])
    config = build_config(recipe, label_set)
    assert config.shared_class_head
    with torch.device("meta"):
        model = AutoModelForSemanticSegmentation.from_config(config)
    parameter_multipliers(dict(model.named_parameters()), recipe.optimizer.parameter_groups)
    is_beit = name.startswith("beitv2")
    assert config.use_relative_position_bias is is_beit
    assert list(build_image_processor(recipe, config, label_set).image_mean) == [0.485, 0.456, 0.406]


def test_the_model_of_the_published_configuration_has_its_names_and_shapes() -> None:
    config = build_config(load_recipe(VIT_B), get_label_set("ade20k"))
    shapes = expected_shapes(config)
    # Counted by the code that is published: 16.917 M parameters in the head, 103.35 M in all.
    head = sum(shape.numel() for name, shape in shapes.items() if name.startswith("decoder."))
    assert head == pytest.approx(16.917e6, rel=1e-3)
    assert sum(shape.numel() for shape in shapes.values()) == pytest.approx(103.35e6, rel=1e-3)
