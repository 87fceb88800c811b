"""Segmenter's recipes are the original's configuration: model, data, optimizer, schedule, parameter groups."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSemanticSegmentation

from segvit_hf.conversion.families import FAMILIES
from segvit_hf.conversion.key_mapping import rename_key
from segvit_hf.data import TrainingAugmentation
from segvit_hf.training.data.sources import load_label_set
from segvit_hf.training.model_building import build_config, build_image_processor
from segvit_hf.training.optimization.parameter_groups import (
    build_optimizer,
    build_parameter_groups,
    parameter_multipliers,
)
from segvit_hf.training.optimization.schedule import build_scheduler
from segvit_hf.training.recipe import (
    BatchRecipe,
    OptimizerRecipe,
    Recipe,
    RuntimeRecipe,
    ScheduleRecipe,
    load_recipe,
)
from segvit_hf.training.recipe_parsing import RecipeError
from tests.reference import case_names, load_case

SEGMENTER = FAMILIES["segmenter"]
RECIPES = Path(__file__).parents[2] / "training" / "recipes"
CASES = [name for name in case_names("segmenter", "full-*") if not name.endswith("2layers")]
# Ratio of the long to the short side within which the original resizes, and number of training pictures.
DATA_SETS = {"ade20k": (4, 20210), "cityscapes": (2, 2975), "pascal_context": (8, 4998)}


def recipe_of(case: str) -> Recipe:
    return load_recipe(RECIPES / f"segmenter-{case.removeprefix('full-')}.yaml")


def variant_of(case: str) -> dict[str, Any]:
    return load_case("segmenter", case).meta["variant"]


@pytest.mark.parametrize("case", CASES)
def test_data_and_evaluation_are_the_originals(case: str) -> None:
    recipe, variant = recipe_of(case), variant_of(case)
    data, window = variant["dataset_kwargs"], variant["inference_kwargs"]
    ratio, num_pictures = DATA_SETS[data["dataset"]]
    short = data["image_size"]
    assert recipe.augmentation == TrainingAugmentation(
        size=(ratio * short, short),
        crop_size=(data["crop_size"],) * 2,
        scale_range=(0.5, 2.0),
        cat_max_ratio=0.75,
        flip_probability=0.5,
        photometric_distortion=True,
    )
    classes = load_label_set(recipe.data)
    config = build_config(recipe, classes)
    processor = build_image_processor(recipe, config, classes)
    assert processor.do_resize
    assert dict(processor.size) == {"shortest_edge": short, "longest_edge": ratio * short}
    assert processor.minimum_input_short_edge == window["window_size"]
    released = SEGMENTER.image_processor_from_original(variant)
    assert (processor.image_mean, processor.image_std) == (released.image_mean, released.image_std)
    assert processor.do_reduce_labels == released.do_reduce_labels
    assert recipe.batch == BatchRecipe(variant["world_batch_size"], recipe.batch.per_device_size)
    assert recipe.runtime == RuntimeRecipe()
    assert not variant["amp"]
    steps_per_epoch = -(-num_pictures // variant["world_batch_size"])
    assert recipe.schedule.max_steps == steps_per_epoch * variant["algorithm_kwargs"]["num_epochs"]
    assert recipe.evaluation.every_steps == steps_per_epoch * variant["algorithm_kwargs"]["eval_freq"]


@pytest.mark.parametrize("case", CASES)
def test_optimizer_and_schedule_are_the_originals(case: str) -> None:
    recipe, original = recipe_of(case), variant_of(case)["optimizer_kwargs"]
    assert (original["opt"], original["sched"], original["clip_grad"]) == ("sgd", "polynomial", None)
    assert recipe.optimizer == OptimizerRecipe(
        name="sgd",
        learning_rate=original["lr"],
        weight_decay=original["weight_decay"],
        momentum=original["momentum"],
        nesterov=True,  # timm's sgd
        parameter_groups=recipe.optimizer.parameter_groups,  # parameter by parameter below
    )
    assert recipe.schedule == ScheduleRecipe(
        max_steps=recipe.schedule.max_steps,  # above
        power=original["poly_power"],
        minimum_learning_rate=original["min_lr"],
        warmup_steps=int(original["iter_warmup"]),
    )


@pytest.mark.parametrize("case", CASES)
def test_what_never_decays_is_what_the_original_exempts(case: str) -> None:
    rules = SEGMENTER.rules(SEGMENTER.config_from_original(variant_of(case)))
    names = {key: (rename_key(key, rules), shape) for key, shape in load_case("segmenter", case).shapes().items()}
    used = {key: (name, shape) for key, (name, shape) in names.items() if not str(name).startswith("dropped: ")}
    multipliers = parameter_multipliers(
        [str(name) for name, _ in used.values()], recipe_of(case).optimizer.parameter_groups
    )
    exempt = ("encoder.pos_embed", "encoder.cls_token", "encoder.dist_token", "decoder.cls_emb")
    for key, (name, shape) in used.items():
        # timm: vectors and biases, and what the model's no_weight_decay names.
        decays = not (len(shape) == 1 or key.endswith(".bias") or key in exempt)
        assert multipliers[str(name)] == (1.0, 1.0 if decays else 0.0), key


def test_with_weight_decay_there_are_two_groups() -> None:
    recipe = load_recipe(RECIPES / "segmenter-seg-t-mask-16-ade20k.yaml", ["optimizer.weight_decay=0.01"])
    with torch.device("meta"):
        model = AutoModelForSemanticSegmentation.from_config(build_config(recipe, load_label_set(recipe.data)))
    groups = build_parameter_groups(model, recipe.optimizer)
    assert sorted(group["weight_decay"] for group in groups) == [0.0, 0.01]
    (plain,) = [group for group in groups if group["weight_decay"] == 0]
    assert any(parameter.ndim == 3 for parameter in plain["params"])  # the embeddings
    optimizer = build_optimizer(model, recipe.optimizer)
    assert isinstance(optimizer, torch.optim.SGD)
    assert optimizer.defaults["nesterov"]


def test_the_learning_rate_falls_as_the_originals() -> None:
    schedule = dataclasses.replace(recipe_of("full-seg-t-mask-16-ade20k").schedule, max_steps=10)
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.001)
    scheduler = build_scheduler(optimizer, schedule)
    rates = []
    for _ in range(10):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    # PolynomialLR of segm/optim/scheduler.py, without warm-up.
    assert rates == pytest.approx([(0.001 - 1e-5) * (1 - step / 10) ** 0.9 + 1e-5 for step in range(10)])


def test_nesterov_needs_momentum() -> None:
    with pytest.raises(RecipeError, match="nesterov: expected a momentum above 0"):
        load_recipe(RECIPES / "segmenter-seg-t-mask-16-ade20k.yaml", ["optimizer.momentum=0"])
