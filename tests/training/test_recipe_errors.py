"""What is wrong in a recipe is said with file, key, expectation and finding; nothing wrong passes."""

from pathlib import Path

import pytest

from segvit_hf.training.recipe import load_recipe
from segvit_hf.training.recipe_parsing import RecipeError

RECIPE = """
model: {type: segvit, config: {hidden_size: 32}}
data: {label_set: cityscapes}
augmentation: {crop_size: [64, 64]}
batch: {effective_size: 4, per_device_size: 2}
optimizer: {name: adamw, learning_rate: 1e-4}
schedule: {max_steps: 10}
"""


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    return path


def test_values_get_their_types(recipe_file: Path) -> None:
    recipe = load_recipe(recipe_file)
    assert recipe.optimizer.learning_rate == 1e-4  # YAML alone would read text
    assert recipe.augmentation.crop_size == (64, 64)
    assert recipe.schedule.power == 1.0


def test_overrides_are_applied_in_order_and_read_as_yaml(recipe_file: Path) -> None:
    overrides = ["optimizer.learning_rate=3e-5", "augmentation.size=[256, 64]", "optimizer.learning_rate=2e-5"]
    recipe = load_recipe(recipe_file, overrides, {"optimizer.learning_rate": 9.0, "runtime.seed": 7})
    assert recipe.optimizer.learning_rate == 2e-5
    assert recipe.augmentation.size == (256, 64)
    assert recipe.runtime.seed == 7


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("optimizer.learning_rat=1", ["optimizer.learning_rat", "unknown key", "did you mean 'learning_rate'"]),
        ("optimizer.learning_rate=fast", ["optimizer.learning_rate", "expected a number", "'fast' (str)"]),
        ("optimizer.learning_rate=true", ["optimizer.learning_rate", "expected a number", "True (bool)"]),
        ("optimizer.learning_rate=-1", ["optimizer.learning_rate", "positive", "-1"]),
        ("optimizer.name=adam", ["optimizer.name", "one of 'adamw', 'sgd'", "'adam'"]),
        ("optimizer.betas=[0.9]", ["optimizer.betas", "a list [a number, a number]", "[0.9]"]),
        ("optimizer.parameter_groups=[{match: '('}]", ["optimizer.parameter_groups[0].match", "regular expression"]),
        ("optimizer.parameter_groups=[{lr_multiplier: 2}]", ["optimizer.parameter_groups[0].match", "missing"]),
        ("schedule.max_steps=2.5", ["schedule.max_steps", "expected an integer", "2.5 (float)"]),
        ("schedule.max_steps=null", ["schedule.max_steps", "expected an integer", "nothing"]),
        ("schedule=null", ["schedule", "expected a mapping", "nothing"]),
        ("augmentation.crop_size=[0, 5]", ["augmentation.crop_size", "positive pixels", "(0, 5)"]),
        ("augmentation.crop_size=large", ["augmentation.crop_size", "an integer or a list", "'large' (str)"]),
        ("augmentation.ignore_index=3", ["augmentation.ignore_index", "unknown key"]),
        ("data.augmentation.size=[9, 9]", ["data.augmentation", "at the top of the recipe", "--set augmentation."]),
        ("batch.per_device_size=0", ["batch.per_device_size", "1 or more", "0"]),
        ("model.config.num_labels=3", ["model.config.num_labels", "class list"]),
        ("image_processor.do_reduce_labels=true", ["image_processor.do_reduce_labels", "data.reduce_zero_label"]),
        ("data.train={images: a}", ["data.train.annotations", "missing"]),
        ("data.train={}", ["data.train.images", "two folders", "dataset"]),
        ("trainer.x=1", ["trainer", "unknown key", "optimizer"]),
    ],
)
def test_a_wrong_field_is_named_with_expectation_and_finding(
    recipe_file: Path, override: str, words: list[str]
) -> None:
    with pytest.raises(RecipeError) as raised:
        load_recipe(recipe_file, [override])
    message = str(raised.value)
    assert message.startswith(str(recipe_file))
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("optimizer", ["--set", "section.field=value", "'optimizer'"]),
        ("optimizer.learning_rate.x=1", ["optimizer.learning_rate", "to be a section"]),
        ("data.train=[", ["--set data.train", "expected valid YAML"]),
    ],
)
def test_a_malformed_override_is_an_error(recipe_file: Path, override: str, words: list[str]) -> None:
    with pytest.raises(RecipeError) as raised:
        load_recipe(recipe_file, [override])
    for word in words:
        assert word in str(raised.value)


def test_files_that_are_no_recipes_are_named(tmp_path: Path) -> None:
    for name, text, word in [("list.yaml", "- 1\n", "a mapping"), ("twice.yaml", "a: 1\na: 2\n", "stands twice")]:
        (tmp_path / name).write_text(text)
        with pytest.raises(RecipeError, match=word) as raised:
            load_recipe(tmp_path / name)
        assert name in str(raised.value)
    with pytest.raises(RecipeError, match="missing.yaml: expected a recipe's file"):
        load_recipe(tmp_path / "missing.yaml")


@pytest.mark.parametrize(("processes", "steps"), [(1, 2), (2, 1)])
def test_accumulation_follows_from_the_number_of_processes(recipe_file: Path, processes: int, steps: int) -> None:
    assert load_recipe(recipe_file).batch.accumulation_steps(processes) == steps


def test_a_batch_that_cannot_be_divided_is_an_error(recipe_file: Path) -> None:
    with pytest.raises(RecipeError, match="multiple of per_device_size x processes, found 4 and 2 x 3 = 6"):
        load_recipe(recipe_file).batch.accumulation_steps(3)
