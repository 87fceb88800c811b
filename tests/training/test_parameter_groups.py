"""The optimizer's groups are, parameter by parameter, those of the originals; rules decide in order."""

from pathlib import Path
from typing import Any

import pytest
import torch

from segvit_hf.conversion.families import FAMILIES
from segvit_hf.conversion.key_mapping import rename_key
from segvit_hf.training.optimization.parameter_groups import (
    build_optimizer,
    build_parameter_groups,
    parameter_multipliers,
)
from segvit_hf.training.recipe import OptimizerRecipe, ParameterGroupRule, load_recipe
from segvit_hf.training.recipe_parsing import RecipeError
from tests.reference import case_names, load_case

RECIPES = Path(__file__).parents[2] / "training" / "recipes"
ORIGINAL_KEYS: dict[str, dict[str, float]] = {
    "norm": {"decay_mult": 0.0},
    "ln": {"decay_mult": 0.0},
    "head": {"lr_mult": 10.0},
}


def _original_multipliers(name: str) -> tuple[float, float]:
    """As mmcv's DefaultOptimizerConstructor: the longest key in the name wins, the alphabetically first of equals."""
    for key in sorted(sorted(ORIGINAL_KEYS), key=len, reverse=True):
        if key in name:
            return ORIGINAL_KEYS[key].get("lr_mult", 1.0), ORIGINAL_KEYS[key].get("decay_mult", 1.0)
    return 1.0, 1.0


def _names(case: dict[str, Any]) -> dict[str, str]:
    """Original name -> our name of every parameter of a released checkpoint."""
    rules = FAMILIES["segvit"].rules(FAMILIES["segvit"].config_from_original({"model": case["arch"]}))
    renamed = {key: rename_key(key, rules) for key in case["keys"]}
    return {key: name for key, name in renamed.items() if name is not None and not name.startswith("dropped: ")}


def _segvit_rules() -> tuple[ParameterGroupRule, ...]:
    path = RECIPES / "segvit-vit-b-ade20k.yaml"
    return load_recipe(path).optimizer.parameter_groups


@pytest.mark.parametrize("case", case_names("segvit", "full-*"))
def test_segvit_groups_equal_the_originals(case: str) -> None:
    names = _names(load_case("segvit", case).meta)
    multipliers = parameter_multipliers(names.values(), _segvit_rules())
    assert len(names) > 200
    assert {key: multipliers[name] for key, name in names.items()} == {
        key: _original_multipliers(key) for key in names
    }
    # All three kinds occur: the comparison is not one of equals.
    assert set(multipliers.values()) == {(10.0, 1.0), (1.0, 0.0), (1.0, 1.0)}


def test_all_segvit_recipes_have_the_same_groups() -> None:
    recipes = sorted(RECIPES.glob("segvit-vit-*.yaml"))
    assert len(recipes) == 9
    for path in recipes:
        assert load_recipe(path).optimizer.parameter_groups == _segvit_rules()


def test_biases_class_token_and_position_embeddings_decay() -> None:
    embeddings = "encoder.embeddings."
    names = [embeddings + "cls_token", embeddings + "position_embeddings", "encoder.layers.0.attention.qkv.bias"]
    extra = ["encoder.layers.0.norm1.weight", "decoder.class_head.bias"]
    multipliers = parameter_multipliers([*names, *extra], _segvit_rules())
    assert [multipliers[name] for name in names] == [(1.0, 1.0)] * 3


class _Toy(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.LayerNorm(2))
        self.decoder = torch.nn.Linear(2, 2)


def test_groups_hold_every_trained_parameter_once_with_multiplied_values() -> None:
    model = _Toy()
    model.encoder[0].bias.requires_grad_(False)
    rules = (ParameterGroupRule("^decoder", lr_multiplier=10), ParameterGroupRule("bias$", weight_decay_multiplier=0))
    groups = build_parameter_groups(model, OptimizerRecipe("adamw", 1e-3, weight_decay=0.1, parameter_groups=rules))
    by_name = dict(model.named_parameters())
    found = {
        (group["lr"], group["weight_decay"]): [
            name for name in by_name if any(by_name[name] is p for p in group["params"])
        ]
        for group in groups
    }
    assert found == {
        (1e-3, 0.1): ["encoder.0.weight", "encoder.1.weight"],
        (1e-3, 0.0): ["encoder.1.bias"],
        (1e-2, 0.1): ["decoder.weight", "decoder.bias"],
    }


def test_a_rule_that_decides_nothing_is_an_error() -> None:
    rules = (ParameterGroupRule("^decoder"), ParameterGroupRule(r"^decoder\.norm"))
    with pytest.raises(RecipeError, match=r"rule '\^decoder\\\\.norm' decides no parameter"):
        parameter_multipliers(["decoder.norm.weight"], rules)


@pytest.mark.parametrize(("name", "kind"), [("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)])
def test_the_recipe_names_the_optimizer(name: Any, kind: type) -> None:
    assert type(build_optimizer(_Toy(), OptimizerRecipe(name, 1e-3))) is kind
