"""Builds our model from original weights: the one entry point for every architecture."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from segvit_hf._compat import transformers_logging
from segvit_hf.conversion import segvit
from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.key_mapping import match_keys
from segvit_hf.conversion.plan import ConversionPlan
from segvit_hf.conversion.reading.recognition import check_family
from segvit_hf.conversion.segmenter import original as segmenter
from segvit_hf.conversion.setr import family as setr
from segvit_hf.conversion.vit_adapter import family as vit_adapter


@dataclass(frozen=True)
class Family:
    """What an architecture's module provides.

    Attributes:
        plan_conversion: From original weights and configuration to a plan; raises `ConversionError`.
        count_classes: Number of classes that original weights have, or `None` if they do not say.
        find_configuration: The original configuration that lies beside a checkpoint file, or `None`.
        find_layout: Which naming original weights have: "original", or another one that `plan_conversion` knows.
    """

    plan_conversion: Callable[[Mapping[str, torch.Tensor], Mapping[str, Any]], ConversionPlan]
    count_classes: Callable[[Mapping[str, torch.Tensor]], int | None]
    find_configuration: Callable[[Path], dict[str, Any] | None] = lambda checkpoint_file: None
    find_layout: Callable[[Mapping[str, torch.Tensor]], str] = lambda state_dict: "original"


# One line per architecture, by model type.
FAMILIES: dict[str, Family] = {
    "segmenter": Family(
        segmenter.plan_conversion, segmenter.count_classes, segmenter.find_variant, segmenter.find_layout
    ),
    "segvit": Family(segvit.plan_conversion, segvit.count_classes),
    "setr": Family(setr.plan_conversion, setr.count_classes, find_layout=setr.find_layout),
    "vit_adapter": Family(vit_adapter.plan_conversion, vit_adapter.count_classes),
}


@dataclass(frozen=True)
class ConvertedCheckpoint:
    """The outcome of `convert_checkpoint`.

    Attributes:
        model: On the CPU, float32, in eval mode.
        image_processor: Resizes and normalizes as the original's test pipeline.
        report: Every original key to our parameter name, or to "dropped: <reason>".
    """

    model: PreTrainedModel
    image_processor: Any
    report: dict[str, str]


def convert_checkpoint(
    family: str, state_dict: Mapping[str, torch.Tensor], original: Mapping[str, Any]
) -> ConvertedCheckpoint:
    """Builds a model of ours that computes what the original does with these weights.

    No weight is copied: float32 tensors of `state_dict` become the model's parameters (so that a memory-mapped file
    is read once, and only where it holds weights). Clone `state_dict` first if it must survive training the model.

    Args:
        family: One of `FAMILIES`.
        state_dict: Original names to tensors, already unwrapped (see `load_checkpoint_file`).
        original: The original's configuration as a plain dictionary: the content of `variant.yml` for Segmenter,
            `{"model": <mmseg model dict>, "test_pipeline": [...]}` for the others; with optional keys `classes`,
            `palette` and `reduce_zero_label`.

    Raises:
        ConversionError: If the family is unknown or not that of the weights, the configuration is not supported, or a
            key is missing, unexpected or of the wrong shape (the message lists all of them).
    """
    if family not in FAMILIES:
        raise ConversionError(f"Unknown family {family!r}: expected one of {', '.join(sorted(FAMILIES))}.")
    for key, value in state_dict.items():
        if not isinstance(value, torch.Tensor):
            raise ConversionError(f"state_dict[{key!r}]: expected a tensor, found {type(value).__name__}.")
    if not isinstance(original, Mapping):
        raise ConversionError(f"original: expected a dictionary, found {type(original).__name__}.")
    check_family(family, state_dict)
    plan = FAMILIES[family].plan_conversion(state_dict, original)
    state_dict = transformed(state_dict, plan)
    match = match_keys(state_dict, expected_shapes(plan), plan.rules, model_name=plan.model_class.__name__)
    weights = {name: _as_float32(state_dict[key]) for name, key in match.sources.items()}
    return ConvertedCheckpoint(model=_build(plan, weights), image_processor=plan.image_processor, report=match.report)


def transformed(state_dict: Mapping[str, torch.Tensor], plan: ConversionPlan) -> dict[str, torch.Tensor]:
    """`state_dict` with its plan's transforms applied."""
    return {key: plan.transforms[key](value) if key in plan.transforms else value for key, value in state_dict.items()}


def expected_shapes(plan: ConversionPlan) -> dict[str, torch.Size]:
    """Names and shapes of the parameters and persistent buffers of a plan's model; takes no memory."""
    with torch.device("meta"):
        skeleton = plan.model_class(plan.config)
    return {name: tensor.shape for name, tensor in skeleton.state_dict().items()}


def _build(plan: ConversionPlan, weights: dict[str, torch.Tensor]) -> PreTrainedModel:
    # from_pretrained builds on the meta device, assigns, and redoes buffers that are in no checkpoint.
    with no_progress_bar():
        loaded: Any = plan.model_class.from_pretrained(
            None, config=plan.config, state_dict=weights, dtype=torch.float32, output_loading_info=True
        )
    model, info = loaded
    problems = {name: sorted(map(str, keys)) for name, keys in info.items() if keys}
    if problems:
        raise ConversionError(f"{plan.model_class.__name__} did not take the weights as they are: {problems}.")
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


def _as_float32(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.detach()
    return tensor.to("cpu", torch.float32) if tensor.is_floating_point() else tensor.to("cpu")


__all__ = [
    "FAMILIES",
    "ConvertedCheckpoint",
    "Family",
    "convert_checkpoint",
    "expected_shapes",
    "no_progress_bar",
    "transformed",
]
