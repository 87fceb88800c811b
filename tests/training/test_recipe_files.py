"""Recipes by name, recipes that are based on others, and the command's words about them."""

from pathlib import Path

import pytest
import yaml

from segvit_hf.training.recipe import load_recipe
from segvit_hf.training.recipe_files import find_recipe, list_recipes, merge_recipes
from segvit_hf.training.recipe_parsing import RecipeError
from tests.training.conftest import finetune

FAMILY = """
model: {type: segvit, config: {hidden_size: 32, sliding_window: {crop_size: [64, 64], stride: [32, 32]}}}
data: {label_set: cityscapes, train: {images: a, annotations: b, image_suffix: _x}}
image_processor: {size: {shortest_edge: 64, longest_edge: 256}, image_mean: [0.5, 0.5, 0.5]}
augmentation: {crop_size: [64, 64], size: [256, 64]}
batch: {effective_size: 4, per_device_size: 2}
optimizer: {name: adamw, learning_rate: 1e-4, parameter_groups: [{match: a}, {match: b}]}
schedule: {max_steps: 10}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "_family.yaml").write_text(FAMILY)
    return tmp_path


def write(folder: Path, text: str, name: str = "recipe.yaml") -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_sections_are_merged_and_values_replaced(folder: Path) -> None:
    write(folder, "base: _family.yaml\nschedule: {power: 2}\nmodel: {config: {hidden_size: 64}}\n", "middle.yaml")
    text = "base: middle.yaml\nschedule: {max_steps: 20}\noptimizer: {parameter_groups: [{match: c}]}\n"
    recipe = load_recipe(write(folder, text))
    assert (recipe.schedule.max_steps, recipe.schedule.power) == (20, 2.0)
    assert recipe.model.config["hidden_size"] == 64
    assert recipe.model.config["sliding_window"] == {"crop_size": [64, 64], "stride": [32, 32]}
    assert [rule.match for rule in recipe.optimizer.parameter_groups] == ["c"]
    assert recipe.optimizer.learning_rate == 1e-4


def test_mappings_that_are_values_are_replaced_whole(folder: Path) -> None:
    text = "base: _family.yaml\nimage_processor: {size: {height: 9, width: 9}}\ndata: {train: {dataset: d}}\n"
    recipe = load_recipe(write(folder, text))
    assert recipe.image_processor == {"size": {"height": 9, "width": 9}, "image_mean": [0.5, 0.5, 0.5]}
    assert recipe.data.train is not None
    assert (recipe.data.train.dataset, recipe.data.train.images, recipe.data.train.image_suffix) == ("d", None, "")


def test_merging_leaves_both_as_they_are() -> None:
    base, changes = {"a": {"b": 1, "c": 2}}, {"a": {"b": 3}, "d": None}
    assert merge_recipes(base, changes) == {"a": {"b": 3, "c": 2}, "d": None}
    assert (base, changes) == ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}, "d": None})


def test_a_recipe_by_name_is_a_base_too(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, "base: segvit-tiny-folders\nschedule: {max_steps: 700}\n"))
    assert recipe.schedule.max_steps == 700
    assert recipe.model == load_recipe("segvit-tiny-folders").model


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base: nowhere.yaml", "recipe.yaml: base: nowhere.yaml: expected a recipe's file"),
        ("base: segvit-tiny-folder", "did you mean segvit-tiny-folders"),
        ("base: [a, b]", r"base: expected a file in the same folder or a recipe's name, found \['a', 'b'\]"),
        ("base: recipe.yaml", "found recipe.yaml -> recipe.yaml"),
        ("base: one.yaml", "found recipe.yaml -> one.yaml -> two.yaml -> recipe.yaml"),
    ],
)
def test_bases_that_do_not_exist_or_end_are_said(folder: Path, text: str, message: str) -> None:
    write(folder, "base: two.yaml", "one.yaml")
    write(folder, "base: recipe.yaml", "two.yaml")
    with pytest.raises(RecipeError, match=message):
        load_recipe(write(folder, text))


def test_shipped_recipes_have_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = list_recipes()
    assert len(names) == 66
    assert not [name for name in names if name.startswith("_")]
    assert find_recipe("segvit-vit-b-ade20k").name == "segvit-vit-b-ade20k.yaml"
    with pytest.raises(RecipeError, match="segvit-vit-b-ade: expected .* did you mean segvit-vit-b-ade20k"):
        find_recipe("segvit-vit-b-ade")
    monkeypatch.chdir(tmp_path)
    own = write(tmp_path, FAMILY, "segvit-vit-b-ade20k")
    assert find_recipe("segvit-vit-b-ade20k").resolve() == own  # a file of one's own comes first


def test_the_command_lists_and_shows_recipes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert finetune(["--list"]) == 0
    assert capsys.readouterr().out.split() == list_recipes()
    path = write(folder, "base: _family.yaml\n")
    assert finetune(["--config", path, "--show-recipe", "--seed", "3", "--set", "augmentation.size=null"]) == 0
    shown = capsys.readouterr().out
    assert "base" not in yaml.safe_load(shown)
    again = write(folder, shown, "resolved.yaml")
    assert load_recipe(again) == load_recipe(path, ["runtime.seed=3", "augmentation.size=null"])


def test_a_recipe_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert finetune([]) == 2
    assert "--config: expected a recipe" in capsys.readouterr().err
