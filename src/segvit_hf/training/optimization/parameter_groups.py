"""Optimizer parameter groups from rules on parameter names, and layer-wise learning-rate decay on top of them.

Rules have an order; the first one that matches a name decides. The recipes use this to repeat the originals' groups
exactly. mmcv tries its `custom_keys` longest first (equal lengths in alphabetical order), which for SegViT makes
`head` win over `norm` and `norm` over `ln`: the whole decode head, its layer norms included, learns ten times faster
and decays.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from segvit_hf.training.optimization.layer_decay import layer_decay_multipliers
from segvit_hf.training.recipe import OptimizerRecipe, ParameterGroupRule
from segvit_hf.training.recipe_parsing import RecipeError


def parameter_multipliers(names: Iterable[str], rules: Sequence[ParameterGroupRule]) -> dict[str, tuple[float, float]]:
    """`name -> (lr_multiplier, weight_decay_multiplier)`; (1, 1) where no rule matches.

    Args:
        names: Of the parameters.
        rules: Searched for (`re.search`) in each name, in order.

    Raises:
        RecipeError: A rule decides no parameter at all (a misspelt name would otherwise pass unnoticed).
    """
    patterns = [re.compile(rule.match) for rule in rules]
    used = [False] * len(patterns)
    multipliers = {}
    for name in names:
        multipliers[name] = (1.0, 1.0)
        for index, pattern in enumerate(patterns):
            if pattern.search(name):
                multipliers[name] = (rules[index].lr_multiplier, rules[index].weight_decay_multiplier)
                used[index] = True
                break
    for rule, was_used in zip(rules, used, strict=True):
        if not was_used:
            raise RecipeError(
                f"optimizer.parameter_groups: the rule {rule.match!r} decides no parameter of the model that is "
                f"trained: expected one of {len(multipliers)} names such as {next(iter(multipliers), '(none)')!r} to "
                "match it first."
            )
    return multipliers


def optimizer_multipliers(
    parameters: Mapping[str, torch.Tensor], recipe: OptimizerRecipe
) -> dict[str, tuple[float, float]]:
    """`name -> (lr_multiplier, weight_decay_multiplier)` with everything that the recipe says about groups."""
    multipliers = parameter_multipliers(parameters, recipe.parameter_groups)
    if recipe.layer_decay is not None:
        decays = layer_decay_multipliers(parameters, recipe.layer_decay)
        multipliers = {name: (lr * decays[name], decay) for name, (lr, decay) in multipliers.items()}
    if not recipe.decay_vectors:
        multipliers = {
            name: (lr, decay if parameters[name].ndim > 1 else 0.0) for name, (lr, decay) in multipliers.items()
        }
    return multipliers


def build_parameter_groups(model: torch.nn.Module, recipe: OptimizerRecipe) -> list[dict[str, Any]]:
    """Groups for a torch optimizer, one per distinct pair of multipliers, in the order of first appearance.

    Parameters that do not require gradients are left out.

    Returns:
        Mappings `{"params", "lr", "weight_decay", "name"}`.
    """
    parameters = {name: value for name, value in model.named_parameters() if value.requires_grad}
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    for name, (lr_multiplier, decay_multiplier) in optimizer_multipliers(parameters, recipe).items():
        group = groups.setdefault(
            (lr_multiplier, decay_multiplier),
            {
                "params": [],
                "lr": recipe.learning_rate * lr_multiplier,
                "weight_decay": recipe.weight_decay * decay_multiplier,
                "name": f"lr_x{lr_multiplier:g}_decay_x{decay_multiplier:g}",
            },
        )
        group["params"].append(parameters[name])
    return list(groups.values())


def build_optimizer(model: torch.nn.Module, recipe: OptimizerRecipe) -> torch.optim.Optimizer:
    """AdamW or SGD over `build_parameter_groups`."""
    groups = build_parameter_groups(model, recipe)
    if recipe.name == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=recipe.betas, eps=recipe.epsilon)
    return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=recipe.nesterov)


__all__ = ["build_optimizer", "build_parameter_groups", "optimizer_multipliers", "parameter_multipliers"]
