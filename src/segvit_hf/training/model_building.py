"""The model and image processor of a recipe: from scratch, a saved model, a backbone, or ImageNet weights."""

import os
from dataclasses import dataclass
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForSemanticSegmentation,
    PreTrainedConfig,
    PreTrainedModel,
)

from segvit_hf._compat import enable_gradient_checkpointing
from segvit_hf.architectures import Architecture, get_architecture
from segvit_hf.data.label_sets import LabelSet
from segvit_hf.encoders.pretrained_backbone import backbone_image_fields, read_backbone_config
from segvit_hf.messages import one_line
from segvit_hf.training.low_rank_adapters import add_low_rank_adapters
from segvit_hf.training.recipe import Recipe
from segvit_hf.training.recipe_parsing import RecipeError

# What a pretrained model saw must stay what it sees.
_NORMALIZATION_FIELDS = ("do_rescale", "rescale_factor", "do_normalize", "image_mean", "image_std")

# What configurations and image processors raise for values that do not fit.
_REFUSALS = (ValueError, TypeError, ArithmeticError, LookupError, StrictDataclassError)


@dataclass(frozen=True)
class BuiltModel:
    """A model that is ready to be trained.

    Attributes:
        model: On the CPU, in float32 and training mode.
        image_processor: The one that belongs to it.
        newly_initialized: Parameters that did not come from `model.init` (all of them are class-dependent).
    """

    model: PreTrainedModel
    image_processor: Any
    newly_initialized: tuple[str, ...] = ()


def build_config(recipe: Recipe, label_set: LabelSet) -> PreTrainedConfig:
    """The configuration a recipe describes, with the classes of the data.

    Raises:
        RecipeError: The model type or a field is unknown, or a value does not fit.
    """
    config_class = _architecture(recipe.model.type).config
    unknown = sorted(set(recipe.model.config) - set(config_class().to_dict()))
    if unknown:
        raise RecipeError(f"model.config: unknown fields of {config_class.__name__}: {', '.join(unknown)}.")
    fields = {**recipe.model.config, **_backbone_fields(recipe)}
    try:
        return config_class(**fields, id2label=label_set.id2label, label2id=label_set.label2id)
    except _REFUSALS as error:
        raise RecipeError(f"model.config: {one_line(error)}") from error


def _backbone_fields(recipe: Recipe) -> dict[str, Any]:
    """Fields of the configuration that the recipe's words about a backbone decide."""
    fields: dict[str, Any] = {}
    if recipe.model.backbone is not None:
        try:
            fields["backbone_config"] = read_backbone_config(recipe.model.backbone)
        except (OSError, *_REFUSALS) as error:
            raise RecipeError(f"model.backbone: cannot read {recipe.model.backbone}: {one_line(error)}") from error
    elif recipe.model.init is not None:
        fields["backbone_config"] = _saved_backbone_config(recipe)
    if recipe.model.freeze_encoder is not None:
        fields["freeze_backbone"] = recipe.model.freeze_encoder
    if recipe.model.lora_rank is not None:
        fields["freeze_backbone"] = False  # its weights are, its adapters are not
    return fields


def _saved_backbone_config(recipe: Recipe) -> Any:
    """The backbone of the model that the recipe starts from; `None` for the package's own ViT."""
    own = recipe.model.config.get("backbone_config")
    try:
        return own or getattr(AutoConfig.from_pretrained(recipe.model.init or ""), "backbone_config", None)
    except (OSError, *_REFUSALS):
        return None  # `_from_saved_model` says what is wrong


def build_image_processor(recipe: Recipe, config: PreTrainedConfig, label_set: LabelSet) -> Any:
    """The image processor of the recipe's architecture, with the recipe's fields.

    Args:
        recipe: Names the architecture and the fields.
        config: The model's; its ignore index is the image processor's, too.
        label_set: Says whether label maps are reduced.

    Raises:
        RecipeError: A field is unknown to it, or its value does not fit.
    """
    processor_class = _architecture(recipe.model.type).image_processor
    from_backbone = _backbone_image_fields(recipe, config)
    from_data = {"do_reduce_labels": label_set.reduce_zero_label, "ignore_index": config.semantic_loss_ignore_index}
    try:
        return processor_class(**{**from_backbone, **recipe.image_processor}, **from_data)
    except _REFUSALS as error:
        raise RecipeError(f"image_processor: {one_line(error)}") from error


def _backbone_image_fields(recipe: Recipe, config: PreTrainedConfig) -> dict[str, Any]:
    """Fields that follow from a backbone, or that a saved model with a backbone has."""
    if recipe.model.backbone is not None:
        return backbone_image_fields(recipe.model.backbone)
    if recipe.model.init is None or getattr(config, "backbone_config", None) is None:
        return {}
    try:
        saved = AutoImageProcessor.from_pretrained(recipe.model.init)
    except (OSError, *_REFUSALS):
        return {}  # `_check_same_normalization` says what is wrong
    return {name: getattr(saved, name) for name in ("do_resize", "size", "image_mean", "image_std")}


def build_model(recipe: Recipe, config: PreTrainedConfig, label_set: LabelSet) -> BuiltModel:
    """The model and the image processor of a recipe.

    Args:
        recipe: Says what they start from.
        config: What `build_config` makes of both others.
        label_set: The classes.

    Raises:
        RecipeError: The recipe does not describe a model, or `model.init` / `model.encoder_weights` do not fit it.
    """
    image_processor = build_image_processor(recipe, config, label_set)
    new: tuple[str, ...] = ()
    if recipe.model.init is not None:
        model, new = _from_saved_model(recipe.model.init, config)
        _check_same_normalization(recipe.model.init, image_processor)
    elif recipe.model.backbone is not None:
        model = _from_backbone(recipe.model.backbone, config)
    else:
        model = _from_scratch(config)
        if recipe.model.encoder_weights is not None:
            _load_encoder_weights(model, recipe.model.encoder_weights)
    if recipe.model.lora_rank is not None:
        _add_adapters(model, recipe.model.lora_rank)
    if recipe.runtime.gradient_checkpointing:
        enable_gradient_checkpointing(model)
    return BuiltModel(model.train(), image_processor, new)


def class_dependent_parameters(config: PreTrainedConfig) -> set[str]:
    """Names of the parameters and buffers whose shape changes with the number of classes."""
    shapes = []
    for extra in (0, 1):
        names = [str(index) for index in range(len(config.id2label or {}) + extra)]
        labels = {"id2label": dict(enumerate(names)), "label2id": {name: int(name) for name in names}}
        other = type(config).from_dict({**config.to_dict(), **labels})
        with torch.device("meta"):
            model = AutoModelForSemanticSegmentation.from_config(other)
        shapes.append({name: value.shape for name, value in model.state_dict().items()})
    return {name for name, shape in shapes[0].items() if shapes[1].get(name) != shape}


def _from_scratch(config: PreTrainedConfig) -> PreTrainedModel:
    try:
        with torch.device("meta"):
            size = sum(value.nbytes for value in AutoModelForSemanticSegmentation.from_config(config).parameters())
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if size > memory:
            raise ValueError(
                f"expected weights that fit into {memory / 1e9:.0f} GB of memory, found {size / 1e9:.0f}."
            )
        return AutoModelForSemanticSegmentation.from_config(config, dtype=torch.float32)
    except (*_REFUSALS, RuntimeError) as error:  # of sizes that fit neither each other nor any memory
        raise RecipeError(f"model.config: expected values that make a model, found: {one_line(error)}") from error


def _from_saved_model(source: str, config: PreTrainedConfig) -> tuple[PreTrainedModel, tuple[str, ...]]:
    try:
        model, report = AutoModelForSemanticSegmentation.from_pretrained(
            source, config=config, dtype=torch.float32, ignore_mismatched_sizes=True, output_loading_info=True
        )
    except Exception as error:  # readers of damaged files raise anything
        raise RecipeError(f"model.init: cannot load {source}: {one_line(error)}") from error
    missing, unexpected = sorted(report["missing_keys"]), sorted(report["unexpected_keys"])
    if missing or unexpected:
        raise RecipeError(
            f"model.init: expected the weights in {source} to be those of the recipe's model.config, found missing "
            f"{_some(missing)}, unexpected {_some(unexpected)}."
        )
    mismatched = sorted(item[0] if isinstance(item, tuple) else item for item in report["mismatched_keys"])
    wrong = sorted(set(mismatched) - class_dependent_parameters(config)) if mismatched else []
    if wrong:
        raise RecipeError(
            f"model.init: the weights in {source} have other shapes than the recipe's model.config: {_some(wrong)}."
        )
    broken = [
        name for name, value in model.state_dict().items() if value.is_floating_point() and not value.isfinite().all()
    ]
    if broken:
        raise RecipeError(f"model.init: expected finite weights in {source}, found others in {_some(broken)}.")
    return model, tuple(mismatched)


def _from_backbone(source: str, config: Any) -> PreTrainedModel:
    model_class: Any = get_architecture(config.model_type).semantic_segmentation
    try:
        return model_class.from_backbone_weights(source, config)
    except Exception as error:  # readers of damaged files raise anything
        raise RecipeError(f"model.backbone: cannot load {source}: {one_line(error)}") from error


def _add_adapters(model: Any, rank: int) -> None:
    if model.config.backbone_config is None:
        raise RecipeError("model.lora_rank: expected a model with a backbone (--backbone), found this package's ViT.")
    add_low_rank_adapters(model.encoder.backbone, rank)


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
    except Exception as error:  # as above
        raise RecipeError(
            f"model.init: {source}: expected an image processor beside the weights, found: {one_line(error)}"
        ) from error
    for name in _NORMALIZATION_FIELDS:
        before, now = _plain(getattr(saved, name, None)), _plain(getattr(image_processor, name, None))
        if before != now:
            raise RecipeError(
                f"image_processor.{name}: expected {before}, with which the model in {source} was trained, found "
                f"{now}."
            )


def _architecture(model_type: str) -> Architecture:
    try:
        return get_architecture(model_type)
    except ValueError as error:
        raise RecipeError(f"model.type: {error}") from error


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else value


def _some(names: list[str]) -> str:
    return f"{len(names)} ({', '.join(names[:5])}{', ...' if len(names) > 5 else ''})" if names else "none"


__all__ = ["BuiltModel", "build_config", "build_image_processor", "build_model", "class_dependent_parameters"]
