"""The model and image processor of a recipe: from scratch, from a saved model, or from ImageNet weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForSemanticSegmentation,
    PreTrainedConfig,
    PreTrainedModel,
)

import segvit_hf  # noqa: F401 - registers the architectures with the Auto classes
from segvit_hf._compat import IMAGE_PROCESSOR_MAPPING, enable_gradient_checkpointing
from segvit_hf.training.recipe import Recipe
from segvit_hf.training.recipe_parsing import RecipeError

# What a pretrained model saw must stay what it sees.
_NORMALIZATION_FIELDS = ("do_rescale", "rescale_factor", "do_normalize", "image_mean", "image_std")


@dataclass(frozen=True)
class BuiltModel:
    """`newly_initialized`: parameters that did not come from `model.init` (all of them are class-dependent)."""

    model: PreTrainedModel
    image_processor: Any
    newly_initialized: tuple[str, ...] = field(default=())


def build_config(recipe: Recipe, class_names: tuple[str, ...]) -> PreTrainedConfig:
    """The configuration a recipe describes, with the class list of the data.

    Raises:
        RecipeError: the model type or a field is unknown, or a value does not fit.
    """
    known = AutoConfig.for_model(recipe.model.type) if _is_known(recipe.model.type) else None
    if known is None:
        raise RecipeError(
            f"model.type: expected a model type of the Auto classes (segvit, ...), found {recipe.model.type!r}"
        )
    unknown = sorted(set(recipe.model.config) - set(known.to_dict()))
    if unknown:
        raise RecipeError(f"model.config: unknown fields of {type(known).__name__}: {', '.join(unknown)}")
    try:
        return AutoConfig.for_model(recipe.model.type, **recipe.model.config, **_class_fields(class_names))
    except (ValueError, TypeError) as error:
        raise RecipeError(f"model.config: {error}") from error


def build_image_processor(recipe: Recipe, config: PreTrainedConfig, reduce_labels: bool) -> Any:
    """The image processor registered for `config`, with the recipe's fields.

    Raises:
        RecipeError: a field is unknown to it, or its value does not fit.
    """
    if type(config) not in IMAGE_PROCESSOR_MAPPING:
        raise RecipeError(f"model.type: no image processor is registered for {config.model_type!r}")
    # The mapping's annotation is that of older releases: it holds {"torchvision": class, "pil": class}.
    processor_class = cast(dict[str, Any], IMAGE_PROCESSOR_MAPPING[type(config)])["torchvision"]
    try:
        return processor_class(**recipe.image_processor, do_reduce_labels=reduce_labels)
    except (ValueError, TypeError) as error:
        raise RecipeError(f"image_processor: {error}") from error


def build_model(recipe: Recipe, class_names: tuple[str, ...], reduce_labels: bool) -> BuiltModel:
    """Model (on the CPU, float32, training mode) and image processor of a recipe.

    Raises:
        RecipeError: the recipe does not describe a model, or `model.init` / `model.encoder_weights` do not fit it.
    """
    config = build_config(recipe, class_names)
    image_processor = build_image_processor(recipe, config, reduce_labels)
    new: tuple[str, ...] = ()
    if recipe.model.init is not None:
        model, new = _from_saved_model(recipe.model.init, config)
        _check_same_normalization(recipe.model.init, image_processor)
    else:
        model = AutoModelForSemanticSegmentation.from_config(config, dtype=torch.float32)
        if recipe.model.encoder_weights is not None:
            _load_encoder_weights(model, recipe.model.encoder_weights)
    if recipe.runtime.gradient_checkpointing:
        enable_gradient_checkpointing(model)
    return BuiltModel(model.train(), image_processor, new)


def class_dependent_parameters(config: PreTrainedConfig) -> set[str]:
    """Names of the parameters and buffers whose shape changes with the number of classes."""
    shapes = []
    for extra in (0, 1):
        names = tuple(str(index) for index in range(len(config.id2label or {}) + extra))
        other = type(config).from_dict({**config.to_dict(), **_class_fields(names)})
        with torch.device("meta"):
            model = AutoModelForSemanticSegmentation.from_config(other)
        shapes.append({name: value.shape for name, value in model.state_dict().items()})
    return {name for name, shape in shapes[0].items() if shapes[1].get(name) != shape}


def _from_saved_model(source: str, config: PreTrainedConfig) -> tuple[PreTrainedModel, tuple[str, ...]]:
    try:
        model, report = AutoModelForSemanticSegmentation.from_pretrained(
            source, config=config, dtype=torch.float32, ignore_mismatched_sizes=True, output_loading_info=True
        )
    except OSError as error:
        raise RecipeError(f"model.init: cannot load {source}: {error}") from error
    missing, unexpected = sorted(report["missing_keys"]), sorted(report["unexpected_keys"])
    if missing or unexpected:
        raise RecipeError(
            f"model.init: the weights in {source} are not those of the recipe's model.config: "
            f"missing {_some(missing)}, unexpected {_some(unexpected)}"
        )
    mismatched = sorted(item[0] if isinstance(item, tuple) else item for item in report["mismatched_keys"])
    wrong = sorted(set(mismatched) - class_dependent_parameters(config)) if mismatched else []
    if wrong:
        raise RecipeError(
            f"model.init: the weights in {source} have other shapes than the recipe's model.config: {_some(wrong)}"
        )
    return model, tuple(mismatched)


def _load_encoder_weights(model: PreTrainedModel, source: str) -> None:
    # Imported where it is needed: it brings timm.
    from segvit_hf.conversion.errors import ConversionError
    from segvit_hf.conversion.pretrained_encoders.loading import load_pretrained_encoder

    try:
        load_pretrained_encoder(model, source)
    except ConversionError as error:
        raise RecipeError(f"model.encoder_weights: {error}") from error


def _check_same_normalization(source: str, image_processor: Any) -> None:
    try:
        saved = AutoImageProcessor.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise RecipeError(f"model.init: {source}: expected an image processor beside the weights: {error}") from error
    for name in _NORMALIZATION_FIELDS:
        before, now = _plain(getattr(saved, name, None)), _plain(getattr(image_processor, name, None))
        if before != now:
            raise RecipeError(
                f"image_processor.{name}: expected {before}, which the model in {source} was trained with, found {now}"
            )


def _is_known(model_type: str) -> bool:
    try:
        AutoConfig.for_model(model_type)
    except (ValueError, KeyError):
        return False
    return True


def _class_fields(class_names: tuple[str, ...]) -> Mapping[str, Any]:
    return {
        "id2label": dict(enumerate(class_names)),
        "label2id": {name: index for index, name in enumerate(class_names)},
    }


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else value


def _some(names: list[str]) -> str:
    return f"{len(names)} ({', '.join(names[:5])}{', ...' if len(names) > 5 else ''})" if names else "none"
