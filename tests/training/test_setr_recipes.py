"""SETR's recipes are the original's configurations: data, optimizer, schedule, parameter groups."""

from pathlib import Path
from typing import Any

import pytest

from segvit_hf.conversion.families import FAMILIES
from segvit_hf.conversion.key_mapping import rename_key
from segvit_hf.data import TrainingAugmentation
from segvit_hf.training.optimization.parameter_groups import parameter_multipliers
from segvit_hf.training.recipe import (
    BatchRecipe,
    OptimizerRecipe,
    Recipe,
    RuntimeRecipe,
    ScheduleRecipe,
    load_recipe,
)
from tests.reference import case_names, load_case

RECIPES = Path(__file__).parents[2] / "training" / "recipes"
DATA_SETS = ("cityscapes", "ade20k", "pascal_context")
ENCODERS = {"vit_large": "vit-l", "vit_base": "vit-b", "deit_base": "deit-b"}


def recipe_name(row: dict[str, Any], decoder: str) -> str:
    (data,) = [name for name in DATA_SETS if name in row["config"]]
    (encoder,) = [short for start, short in ENCODERS.items() if row["pretrained"].startswith(start)]
    return f"setr-{decoder}-{encoder}-{data.replace('_', '-')}"


def load_rows() -> dict[str, tuple[str, dict[str, Any]]]:
    """Recipe -> the manifest and the last row (longest schedule, largest batch) that it repeats."""
    rows = {}
    for name in case_names("setr", "full-*"):
        decoder = name.split("-")[1]
        for row in load_case("setr", name).meta["released"]:
            rows[recipe_name(row, decoder)] = (name, row)
    return rows


ROWS = load_rows()
each_recipe = pytest.mark.parametrize("name", ROWS)


def load(name: str) -> Recipe:
    return load_recipe(RECIPES / f"{name}.yaml")


def test_every_model_of_the_originals_tables_has_a_recipe() -> None:
    names = {path.stem for path in RECIPES.glob("setr-*.yaml")}
    assert {name for name in names if not name.endswith("-backbone")} == set(ROWS)
    assert len(ROWS) == 17


@each_recipe
def test_training_settings_are_the_originals(name: str) -> None:
    recipe, (manifest, row) = load(name), ROWS[name]
    optimizer, schedule = row["optimizer"], row["lr_config"]
    assert recipe.optimizer == OptimizerRecipe(
        name=optimizer["type"].lower(),
        learning_rate=optimizer["lr"],
        weight_decay=optimizer["weight_decay"],
        momentum=optimizer["momentum"],
        parameter_groups=recipe.optimizer.parameter_groups,  # parameter by parameter below
    )
    assert (schedule["policy"], schedule["by_epoch"]) == ("poly", False)
    assert "warmup" not in schedule
    assert recipe.schedule == ScheduleRecipe(
        max_steps=row["total_iters"], power=schedule["power"], minimum_learning_rate=schedule["min_lr"]
    )
    assert recipe.batch == BatchRecipe(
        effective_size=16 if row["config"].endswith("bs_16.py") else 8, per_device_size=row["samples_per_gpu"]
    )
    steps = {step["type"]: step for step in load_case("setr", manifest).meta["train_pipeline"]}
    assert recipe.augmentation == TrainingAugmentation(
        crop_size=tuple(steps["RandomCrop"]["crop_size"]),
        size=tuple(steps["Resize"]["img_scale"]),
        scale_range=tuple(steps["Resize"]["ratio_range"]),
        cat_max_ratio=steps["RandomCrop"]["cat_max_ratio"],
        flip_probability=steps["RandomFlip"]["flip_ratio"],
        photometric_distortion="PhotoMetricDistortion" in steps,
    )
    assert recipe.runtime == RuntimeRecipe()


@each_recipe
def test_groups_equal_the_originals_parameter_by_parameter(name: str) -> None:
    recipe, (manifest, row) = load(name), ROWS[name]
    case = load_case("setr", manifest)
    rules = FAMILIES["setr"].rules(FAMILIES["setr"].config_from_original({"model": case.arch}))
    names = {key: rename_key(key, rules) for key in case.meta["keys"]}
    used = {key: ours for key, ours in names.items() if ours is not None and not ours.startswith("dropped: ")}
    multipliers = parameter_multipliers(used.values(), recipe.optimizer.parameter_groups)
    keys = row["optimizer"]["paramwise_cfg"]["custom_keys"]
    assert list(keys) == ["head"]
    expected = {key: (keys["head"]["lr_mult"] if "head" in key else 1.0, 1.0) for key in used}
    assert {key: multipliers[ours] for key, ours in used.items()} == expected
    assert set(expected.values()) == {(10.0, 1.0), (1.0, 1.0)}
