"""What a family's module tells the converter."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import PreTrainedConfig, PreTrainedModel

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.key_mapping import Rule

ConfigT = TypeVar("ConfigT", bound=PreTrainedConfig)


@dataclass(frozen=True)
class ConversionPlan:
    """Everything that depends on the architecture.

    Attributes:
        config: The model's configuration, labels included.
        model_class: The class to build from it.
        image_processor: Ready to use.
        rules: Original names to ours, first match wins.
        transforms: For original names whose tensors are laid out differently from ours, what makes them ours.
    """

    config: PreTrainedConfig
    model_class: type[PreTrainedModel]
    image_processor: Any
    rules: Sequence[Rule]
    transforms: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = field(default_factory=dict)


def build_config(config_class: type[ConfigT], where: str, **fields: Any) -> ConfigT:
    """A configuration.

    Raises:
        ConversionError: If the fields contradict each other; says `where` they come from.
    """
    try:
        return config_class(**fields)
    except (ValueError, StrictDataclassError) as error:
        raise ConversionError(f"{where}: the fields contradict each other: {error}") from error


def label_arguments(original: Mapping[str, Any], num_labels: int) -> dict[str, Any]:
    """Configuration fields for the optional keys `classes` and `palette` of an original configuration.

    Returns:
        `id2label` and `label2id` where there are class names, else `num_labels`; `palette` as a list of `[red, green,
        blue]` where there is one.

    Raises:
        ConversionError: If there are not as many names or colors as classes.
    """
    arguments: dict[str, Any] = {}
    classes = original.get("classes")
    if classes is None:
        arguments["num_labels"] = num_labels
    else:
        if len(classes) != num_labels:
            raise ConversionError(f"classes: expected {num_labels} names, one per class, found {len(classes)}.")
        arguments["id2label"] = dict(enumerate(map(str, classes)))
        arguments["label2id"] = {name: index for index, name in arguments["id2label"].items()}
    palette = original.get("palette")
    if palette is not None:
        colors = [[int(value) for value in color] for color in palette]
        if len(colors) != num_labels or any(len(color) != 3 for color in colors):
            raise ConversionError(
                f"palette: expected {num_labels} colors (red, green, blue), one per class, found {len(colors)}."
            )
        arguments["palette"] = colors
    return arguments


__all__ = ["ConversionPlan", "build_config", "label_arguments"]
