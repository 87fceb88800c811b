"""What a recipe takes from a preset: the model, its image processor, its data set and the sizes of its photos."""

from collections.abc import Mapping
from typing import Any

from segvit_hf.training.recipe_files import merge_recipes
from segvit_hf.training.recipe_parsing import RecipeError, describe

# In the place of a long side that is not limited.
_NO_LIMIT = 1_000_000


def resolve_preset(values: Mapping[str, Any], source: str) -> dict[str, Any]:
    """The mapping of a recipe with the values of the preset that its `preset` names; without one, as it is.

    Args:
        values: Nested mapping of recipe fields.
        source: What error messages begin with.

    Raises:
        RecipeError: There is no such preset.
    """
    values = dict(values)
    name = values.pop("preset", None)
    if name is None:
        return values
    if not isinstance(name, str):
        raise RecipeError(f"{source}: preset: expected the name of a preset, found {describe(name)}.")
    from segvit_hf.presets import get_preset

    try:
        return with_preset(values, get_preset(name))
    except ValueError as error:
        raise RecipeError(f"{source}: preset: {error}") from error


def with_preset(values: Mapping[str, Any], preset: Any) -> dict[str, Any]:
    """A recipe's values over those of a preset: what the recipe says itself wins.

    Args:
        values: Nested mapping of recipe fields.
        preset: Has `model_type`, `config`, `pretrained_encoder`, `image_processor`, `layout`, `label_set`, `scale`
            ([long side, short side] or [short side]) and `crop_size` ([height, width]).
    """
    model, data = _section(values, "model"), _section(values, "data")
    defaults: dict[str, Any] = {
        "model": {"type": preset.model_type, "config": preset.config},
        "image_processor": preset.image_processor,
        "augmentation": {
            "size": preset.scale if len(preset.scale) > 1 else [_NO_LIMIT, *preset.scale],
            "crop_size": preset.crop_size,
        },
    }
    if "init" not in model:
        defaults["model"]["encoder_weights"] = preset.pretrained_encoder
    if not {"layout", "train", "validation"} & set(data):  # no data of one's own
        if preset.layout is not None:
            defaults["data"] = {"layout": preset.layout}
        elif not {"label_set", "classes"} & set(data):
            defaults["data"] = {"label_set": preset.label_set.name}
    return merge_recipes(defaults, values)


def _section(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = values.get(name)
    return section if isinstance(section, Mapping) else {}


__all__ = ["resolve_preset", "with_preset"]
