"""Builds our model from original weights: the one way for every architecture."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from segvit_hf._compat import transformers_logging
from segvit_hf.architectures import get_architecture
from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.families import FAMILIES, Family, get_family
from segvit_hf.conversion.key_mapping import KeyMatch, match_keys, report_of_whole, split_weights
from segvit_hf.conversion.reading.recognition import Naming, check_family, check_naming
from segvit_hf.conversion.values import read_values
from segvit_hf.image_processing.processor import SemanticSegmentationProcessing
from segvit_hf.messages import quoted

_NONFINITE_ADVICE = " --allow-nonfinite (in Python allow_nonfinite=True) converts them all the same."


@dataclass(frozen=True)
class ConvertedCheckpoint:
    """The outcome of a conversion.

    Attributes:
        model: On the CPU, float32, in eval mode.
        image_processor: Resizes and normalizes as the original's test pipeline.
        report: Every original key to our parameter name, or to "dropped: <reason>".
        reading: Where the weights were read otherwise than their configuration says, one sentence each.
    """

    model: PreTrainedModel
    image_processor: Any
    report: dict[str, str]
    reading: tuple[str, ...] = ()


def convert_checkpoint(
    family: str,
    state_dict: Mapping[str, torch.Tensor],
    original: Mapping[str, Any],
    *,
    allow_nonfinite: bool = False,
) -> ConvertedCheckpoint:
    """Builds a model of ours that computes what the original does with these weights.

    No weight is copied: float32 tensors of `state_dict` become the model's parameters (so that a memory-mapped file
    is read once, and only where it holds weights), except that of two names for one tensor each gets its own. Clone
    `state_dict` first if it must survive training the model.

    Args:
        family: One of `FAMILIES`.
        state_dict: Original names to tensors, already unwrapped (see `load_checkpoint_file`).
        original: The original's configuration as a plain dictionary: the content of `variant.yml` for Segmenter,
            `{"model": <mmseg model dict>, "test_pipeline": [...]}` for the others; with optional keys `classes`,
            `palette` and `reduce_zero_label`.
        allow_nonfinite: Whether weights may be NaN or infinite, or too large for float32 (which makes them infinite).

    Raises:
        ConversionError: If the family is unknown or not that of the weights, the configuration is not supported or
            not that of the weights, or a key is missing, unexpected, of the wrong shape or type, or not finite (the
            message lists all of them).
    """
    entry = get_family(family)
    _check_tensors(state_dict)
    if not isinstance(original, Mapping):
        raise ConversionError(f"original: expected a dictionary, found {type(original).__name__}.")
    found = check_family(family, state_dict)
    naming = entry.naming_of(original)
    check_naming(found, naming)
    config = entry.config_from_original(original, state_dict)
    image_processor = entry.image_processor_from_original(original)
    if isinstance(image_processor, SemanticSegmentationProcessing):
        # The originals' pipelines leave it to the head.
        image_processor.ignore_index = config.semantic_loss_ignore_index
    converted = _convert(family, state_dict, config, image_processor, naming, allow_nonfinite)
    return replace(converted, reading=entry.reading(entry.read_config(original), state_dict))


def convert_weights(
    family: str,
    state_dict: Mapping[str, torch.Tensor],
    config: PreTrainedConfig,
    image_processor: Any,
    *,
    allow_nonfinite: bool = False,
) -> ConvertedCheckpoint:
    """As `convert_checkpoint`, for a configuration and an image processor of ours.

    Args:
        family: One of `FAMILIES`.
        state_dict: Original names to tensors, of any naming that the family knows. No weight is copied.
        config: Of the family's configuration class, labels included.
        image_processor: Goes to the result as it is.
        allow_nonfinite: See `convert_checkpoint`.

    Raises:
        ConversionError: If the family is unknown or not that of the weights, the configuration is not that of the
            weights, or a key is missing, unexpected, of the wrong shape or type, or not finite (the message lists all
            of them).
    """
    entry = get_family(family)
    _check_tensors(state_dict)
    if not isinstance(config, entry.config_classes):
        expected = " or ".join(config_class.__name__ for config_class in entry.config_classes)
        raise ConversionError(f"config: expected {expected}, found {type(config).__name__}.")
    found = check_family(family, state_dict)
    naming: Naming = "original" if found is None else found.naming
    return _convert(family, state_dict, config, image_processor, naming, allow_nonfinite)


def expected_shapes(config: PreTrainedConfig) -> dict[str, torch.Size]:
    """Names and shapes of the parameters and persistent buffers of a configuration's model; takes no memory."""
    with torch.device("meta"):
        skeleton = get_architecture(config.model_type).model_class(config)(config)
    return {name: tensor.shape for name, tensor in skeleton.state_dict().items()}


def match_weights(
    state_dict: Mapping[str, torch.Tensor],
    config: PreTrainedConfig,
    naming: Naming = "original",
    family: str | None = None,
) -> tuple[dict[str, torch.Tensor], KeyMatch]:
    """Finds the original tensor of every parameter and persistent buffer of a configuration's model.

    Args:
        state_dict: Original names to tensors, which may be on the meta device.
        config: Of a configuration class of the family.
        naming: Whose names the weights have.
        family: One of `FAMILIES`; the configuration's `model_type` by default.

    Returns:
        `state_dict` with the tensors that are laid out differently split or transformed, and what becomes of every
        key.

    Raises:
        ConversionError: If a key is missing, unexpected or of the wrong shape; lists all of them.
    """
    entry = FAMILIES[family or config.model_type]
    transforms = entry.transforms(config, naming)
    complete = {**entry.absent(config, state_dict, naming), **state_dict}
    weights = {
        key: _transformed(transforms[key], value) if key in transforms else value
        for key, value in split_weights(complete, entry.splits(naming)).items()
    }
    model_name = get_architecture(config.model_type).model_class(config).__name__
    match = match_keys(weights, expected_shapes(config), entry.rules(config, naming), model_name=model_name)
    return weights, KeyMatch(sources=match.sources, report=report_of_whole(match.report, state_dict))


def _convert(
    family: str,
    state_dict: Mapping[str, torch.Tensor],
    config: PreTrainedConfig,
    image_processor: Any,
    naming: Naming,
    allow_nonfinite: bool,
) -> ConvertedCheckpoint:
    entry = get_family(family)
    _check_head(entry, state_dict, config)
    _check_classes(entry, state_dict, config)
    _check_size(state_dict, config)
    weights, match = match_weights(state_dict, config, naming, family)
    parameters = read_values(weights, match.sources, allow_nonfinite=allow_nonfinite, advice=_NONFINITE_ADVICE)
    model = _build(get_architecture(config.model_type).model_class(config), config, parameters)
    return ConvertedCheckpoint(model=model, image_processor=image_processor, report=match.report)


def _check_tensors(state_dict: Mapping[str, torch.Tensor]) -> None:
    for key, value in state_dict.items():
        if not isinstance(value, torch.Tensor):
            raise ConversionError(f"state_dict[{quoted(key)}]: expected a tensor, found {type(value).__name__}.")
        if not isinstance(key, str):
            raise ConversionError(f"state_dict: expected names, found the key {quoted(key)}.")


def _check_head(entry: Family, state_dict: Mapping[str, torch.Tensor], config: PreTrainedConfig) -> None:
    expected, found = entry.head_of(config), entry.head_of_weights(state_dict)
    if found is not None and found != expected:
        raise ConversionError(f"The configuration's head is {expected}, the weights' head is {found}.")


def _check_classes(entry: Family, state_dict: Mapping[str, torch.Tensor], config: PreTrainedConfig) -> None:
    found = entry.count_classes(state_dict)
    if found is not None and found != config.num_labels:
        raise ConversionError(f"The configuration has {config.num_labels} classes, the weights have {found}.")


def _check_size(state_dict: Mapping[str, torch.Tensor], config: Any) -> None:
    """Refuses a configuration of more layers than there are weights before a model of that size is laid out."""
    decoder_layers = getattr(config, "num_decoder_stages", 1) * getattr(config, "decoder_num_layers", 0)
    layers = config.num_hidden_layers + decoder_layers
    if layers > len(state_dict):
        raise ConversionError(
            f"The configuration has {config.num_hidden_layers} layers in the encoder and {decoder_layers} in the "
            f"decoder; there are only {len(state_dict)} weights."
        )


def _transformed(transform: Callable[[torch.Tensor], torch.Tensor], tensor: torch.Tensor) -> torch.Tensor:
    try:
        return transform(tensor)
    except (IndexError, RuntimeError):  # not of the shape or the kind that it is for, which the next checks tell
        return tensor


def _build(
    model_class: type[PreTrainedModel], config: PreTrainedConfig, parameters: dict[str, torch.Tensor]
) -> PreTrainedModel:
    # from_pretrained builds on the meta device, assigns, and redoes buffers that are in no checkpoint.
    with no_progress_bar():
        loaded: Any = model_class.from_pretrained(
            None, config=config, state_dict=parameters, dtype=torch.float32, output_loading_info=True
        )
    model, info = loaded
    problems = {name: sorted(map(str, keys)) for name, keys in info.items() if keys}
    if problems:
        raise ConversionError(f"{model_class.__name__} did not take the weights as they are: {problems}.")
    return model.eval()


@contextmanager
def no_progress_bar() -> Iterator[None]:
    """Hides the progress bars of transformers for steps that take a moment."""
    was_enabled = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_enabled:
            transformers_logging.enable_progress_bar()


__all__ = [
    "ConvertedCheckpoint",
    "convert_checkpoint",
    "convert_weights",
    "expected_shapes",
    "match_weights",
    "no_progress_bar",
]
