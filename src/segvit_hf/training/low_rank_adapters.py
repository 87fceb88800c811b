"""LoRA (Hu et al., 2022) for the backbone of a model, through peft.

The adapters live in the model while it trains, under their own parameter names; what is saved as a model has them
added to the weights and is a plain model again.
"""

from typing import Any

import torch
from torch import nn

from segvit_hf.training.recipe_parsing import RecipeError

_BASE, _ADAPTER = ".base_layer.", ".lora_"


def add_low_rank_adapters(backbone: nn.Module, rank: int) -> None:
    """Gives every linear layer of a backbone an adapter, and freezes everything else in it.

    Args:
        backbone: Changed in place.
        rank: Of the adapters, whose outputs are scaled by 2 (peft's `lora_alpha` is twice the rank).

    Raises:
        RecipeError: peft is not installed.
    """
    try:
        # Imported where it is needed: it is optional.
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise RecipeError(
            f"model.lora_rank: expected the package peft (pip install 'segvit-hf[lora]'), found: {error}."
        ) from error
    linear = [name for name, module in backbone.named_modules() if isinstance(module, nn.Linear)]
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=linear), backbone)
    for name, parameter in backbone.named_parameters():
        parameter.requires_grad_(_ADAPTER in name)


def merged_state_dict(model: nn.Module) -> dict[str, torch.Tensor]:
    """The weights of a model by the names that they have without adapters, what these learned included."""
    weights = {name.replace(_BASE, "."): value for name, value in model.state_dict().items() if _ADAPTER not in name}
    for name, module in model.named_modules():
        layer: Any = module
        if hasattr(layer, "get_delta_weight") and hasattr(layer, "active_adapters"):
            for adapter in layer.active_adapters:
                weights[f"{name}.weight"] = weights[f"{name}.weight"] + layer.get_delta_weight(adapter).detach()
    return weights


__all__ = ["add_low_rank_adapters", "merged_state_dict"]
