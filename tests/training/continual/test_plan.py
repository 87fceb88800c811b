"""Plans of continual training: named splits and lists, and what cannot be a plan."""

from pathlib import Path
from typing import Any

import pytest

from segvit_hf.data import LabelSet, get_label_set
from segvit_hf.training.continual.plan import ContinualPlan, later_recipe, load_plan, step_classes
from segvit_hf.training.continual.published import PUBLISHED, published_rows
from segvit_hf.training.recipe import load_recipe
from segvit_hf.training.recipe_parsing import RecipeError

PLANS = Path(__file__).parents[3] / "training" / "continual"
LETTERS = LabelSet("letters", tuple("abcdef"))


@pytest.mark.parametrize(
    ("split", "sizes"),
    [("100-50", [100, 50]), ("50-50", [50] * 3), ("100-10", [100] + [10] * 5), ("100-5", [100] + [5] * 10)],
)
def test_the_splits_of_ade20k(split: str, sizes: list[int]) -> None:
    plan = load_plan(PLANS / f"ade20k-{split}.yaml")
    steps = step_classes(plan, get_label_set("ade20k"))
    assert [len(step) for step in steps] == sizes
    assert [class_id for step in steps for class_id in step] == list(range(150))
    assert (plan.method, plan.setting) == ("distilled", "overlapped")
    recipe = later_recipe(load_recipe("segvit-v2-vit-b-ade20k"), plan)
    assert (recipe.schedule.warmup_steps, recipe.schedule.max_steps) == (0, 40000)
    assert set(published_rows(plan.steps, 150)) == set(PUBLISHED[split])


def test_published_columns_are_means_over_classes() -> None:
    for split, rows in PUBLISHED.items():
        first = int(split.split("-")[0])
        for name, (old, new, every) in rows.items():
            if (split, name) != ("100-5", "CIT with SegViTv2"):  # a misprint somewhere
                assert (first * old + (150 - first) * new) / 150 == pytest.approx(every, abs=0.02), (split, name)
    assert published_rows("100-50", 11) == {}


def test_lists_name_classes_or_their_ids() -> None:
    plan = ContinualPlan((("c", 0), (4,), ("b", "f")), "frozen")
    assert step_classes(plan, LETTERS) == [[2, 0], [4], [1, 5]]


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ("4-3", "FIRST-INCREMENT that comes out even for 6 classes .* found '4-3'"),
        ("6-1", "found '6-1'"),
        ("six", "found 'six'"),
        ((("a",), ("a",)), "found a several times"),
        ((("a",), (0,)), "found a several times"),
        ((("a",),), "at least two steps"),
        ((("a",), ()), "at least two steps"),
        ((("a",), ("z",)), "a class of the data .* found 'z'"),
        ((("a",), (6,)), "a class of the data .* found 6"),
    ],
)
def test_steps_that_do_not_fit_the_data_are_refused(steps: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        step_classes(ContinualPlan(steps, "frozen"), LETTERS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps: 2-2", "method: missing"),
        ("{steps: 2-2, method: magic}", "method"),
        ("{steps: 2-2, method: frozen, surprise: 1}", "surprise"),
        ("{steps: 2-2, method: distilled, share_decoder: false}", "share_decoder: expected true or null"),
        ("{steps: 2-2, method: distilled, distillation: {temperature: -1}}", "temperature: expected 0 or more"),
    ],
)
def test_files_that_are_no_plan_are_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(text)
    with pytest.raises(RecipeError, match=message):
        load_plan(tmp_path / "plan.yaml")


def test_a_field_of_later_steps_must_be_one_of_the_recipe() -> None:
    plan = ContinualPlan("100-50", "frozen", later_steps={"schedule.no_such_field": 1})
    with pytest.raises(RecipeError, match="no_such_field"):
        later_recipe(load_recipe("segvit-v2-vit-b-ade20k"), plan)
