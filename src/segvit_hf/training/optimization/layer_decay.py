"""Layer-wise learning-rate decay (Clark et al., 2020), by the names that every encoder of this package has.

Follows the optimizer constructor of BEiT's fine-tuning code, which ViT-Adapter (https://github.com/czczup/ViT-Adapter)
shares.
"""

import re
from collections.abc import Iterable

from segvit_hf.training.recipe import LayerDecayRecipe
from segvit_hf.training.recipe_parsing import RecipeError

# Of the package's own ViT, of transformers' backbones, and of timm's.
_LAYER = re.compile(r"^encoder\.(?:layers|backbone\.(?:\w+\.)*?(?:layers?|blocks))\.(\d+)\.")
_EMBEDDINGS = re.compile(
    r"^encoder\.(?:embeddings\.|backbone\.(?:\w+\.)*?(?:embeddings\.|patch_embed\.|(?:cls_token|reg_token|pos_embed)$))"
)


def layer_decay_multipliers(names: Iterable[str], recipe: LayerDecayRecipe) -> dict[str, float]:
    """The factor on every parameter's learning rate, `name -> lr_multiplier`.

    Args:
        names: Of all parameters of a model; the encoder's layers are counted from them.
        recipe: The rate, and which names count as embeddings.

    Raises:
        RecipeError: No layer of the encoder is trained, or an expression of `as_embeddings` finds no parameter.
    """
    names = list(names)
    layers = {name: int(match[1]) for name in names if (match := _LAYER.search(name))}
    if not layers:
        raise RecipeError(
            "optimizer.layer_decay: expected an encoder whose layers are trained, found no such parameter among "
            f"{len(names)} names such as {names[0] if names else '(none)'!r}."
        )
    unused = [pattern for pattern in recipe.as_embeddings if not any(re.search(pattern, name) for name in names)]
    if unused:
        raise RecipeError(f"optimizer.layer_decay: as_embeddings: {unused[0]!r} finds no parameter of the model.")
    first = [_EMBEDDINGS, *(re.compile(pattern) for pattern in recipe.as_embeddings)]
    full = max(layers.values()) + 2

    def depth(name: str) -> int:
        if any(pattern.search(name) for pattern in first):
            return 0
        return layers[name] + 1 if name in layers else full

    return {name: recipe.rate ** (full - depth(name)) for name in names}


__all__ = ["layer_decay_multipliers"]
