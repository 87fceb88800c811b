"""What conversion knows of each architecture: one entry per model type, all of the same form."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import PreTrainedConfig, PreTrainedModel

from segvit_hf.architectures import Architecture, get_architecture
from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.hlg import configuration as hlg_configuration
from segvit_hf.conversion.hlg import names as hlg_names
from segvit_hf.conversion.key_mapping import Rule
from segvit_hf.conversion.reading.recognition import Naming, fits_some
from segvit_hf.conversion.segmenter import configuration as segmenter_configuration
from segvit_hf.conversion.segmenter import names as segmenter_names
from segvit_hf.conversion.segvit import configuration as segvit_configuration
from segvit_hf.conversion.segvit import names as segvit_names
from segvit_hf.conversion.setr import configuration as setr_configuration
from segvit_hf.conversion.setr import names as setr_names
from segvit_hf.conversion.vit_adapter import configuration as vit_adapter_configuration
from segvit_hf.conversion.vit_adapter import names as vit_adapter_names
from segvit_hf.messages import quoted, shown

Original = Mapping[str, Any]
Weights = Mapping[str, torch.Tensor]
Transform = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class WeightNames:
    """One naming of an architecture's weights.

    Attributes:
        rules: For a configuration, original names to ours, first match wins.
        transforms: For a configuration, what makes a tensor ours, by original name; only for tensors that are laid
            out differently.
    """

    rules: Callable[[Any], Sequence[Rule]]
    transforms: Callable[[Any], Mapping[str, Transform]] = lambda _config: {}


@dataclass(frozen=True)
class Family:
    """One architecture.

    Attributes:
        architecture: The classes that a checkpoint becomes.
        read_config: From an original's configuration, the fields of ours; raises `ConversionError` for what is
            missing, unknown or not supported.
        read_image_processor: From an original's configuration, the arguments of the image processor.
        names: Whose names the weights may have, and what they are.
        heads: Kinds of decoders, and a regular expression for names that tell the kind in weights, of either naming;
            the first that fits decides.
        head_of: Which of `heads` a configuration of ours has.
        count_classes: Number of classes that original weights have, or `None` if they do not say.
        naming_of: Whose configuration an original is.
        read_weights: Fields of our configuration that the original reads from the weights, not from its configuration.
        find_configuration: The original's configuration that lies beside a checkpoint file, or `None`.
        other_image_processor: The class of an original's image processor where it is not the architecture's.
    """

    architecture: Architecture
    read_config: Callable[[Original], dict[str, Any]]
    read_image_processor: Callable[[Original], dict[str, Any]]
    names: Mapping[Naming, WeightNames]
    heads: Mapping[str, str]
    head_of: Callable[[Any], str]
    count_classes: Callable[[Weights], int | None]
    naming_of: Callable[[Original], Naming] = lambda _original: "original"
    read_weights: Callable[[Weights], dict[str, Any]] = lambda _state_dict: {}
    find_configuration: Callable[[Path], dict[str, Any] | None] = lambda _checkpoint_file: None
    other_image_processor: Callable[[Original], type | None] = lambda _original: None

    @property
    def config_class(self) -> type[PreTrainedConfig]:
        """The class of its configuration."""
        return self.architecture.config

    def model_class(self, config: PreTrainedConfig) -> type[PreTrainedModel]:
        """The class of a configuration's model."""
        return self.architecture.model_class(config)

    def config_from_original(self, original: Original, state_dict: Weights | None = None) -> PreTrainedConfig:
        """Our configuration, for an original's.

        Args:
            original: See `convert_checkpoint`.
            state_dict: The original weights; without them, what the original reads from its weights is taken from its
                configuration.

        Raises:
            ConversionError: If a field is missing, unknown or not supported, naming it.
        """
        fields = {**self.read_config(original), **self.read_weights(state_dict or {})}
        try:
            return self.config_class(**fields)
        except (ValueError, TypeError, StrictDataclassError) as error:
            raise ConversionError(
                f"The original's configuration: its fields contradict each other: {shown(str(error), longest=300)}"
            ) from error

    def reading(self, stated: Mapping[str, Any], state_dict: Weights) -> tuple[str, ...]:
        """Where the weights are read otherwise than the configuration says, one sentence each.

        Args:
            stated: Fields of our configuration, as the original's configuration or a preset states them.
            state_dict: The original weights.
        """
        return tuple(
            f"{name}: {value} as in the weights; the configuration says {stated[name]}."
            for name, value in self.read_weights(state_dict).items()
            if name in stated and stated[name] != value
        )

    def image_processor_from_original(self, original: Original) -> Any:
        """Our image processor, for an original's configuration.

        Raises:
            ConversionError: If a step or a setting of its pipeline is not supported, naming it.
        """
        arguments = self.read_image_processor(original)
        processor_class = self.other_image_processor(original) or self.architecture.image_processor
        try:
            return processor_class(**arguments)
        except (ValueError, TypeError, StrictDataclassError) as error:
            raise ConversionError(f"The original's test pipeline: {shown(str(error), longest=300)}") from error

    def rules(self, config: PreTrainedConfig, naming: Naming = "original") -> Sequence[Rule]:
        """Original names to ours, first match wins."""
        return self.names[naming].rules(config)

    def transforms(self, config: PreTrainedConfig, naming: Naming = "original") -> Mapping[str, Transform]:
        """By original name, what makes a tensor ours that is laid out differently."""
        return self.names[naming].transforms(config)

    def head_of_weights(self, keys: Collection[str]) -> str | None:
        """Which of `heads` the original names show, or `None`."""
        return next((head for head, pattern in self.heads.items() if fits_some(pattern, keys)), None)


# By model type.
FAMILIES: dict[str, Family] = {
    "hlg": Family(
        architecture=get_architecture("hlg"),
        read_config=hlg_configuration.read_config,
        read_image_processor=hlg_configuration.read_image_processor,
        other_image_processor=hlg_configuration.other_image_processor,
        names={"original": WeightNames(hlg_names.hlg_rules)},
        heads=hlg_names.HEADS,
        head_of=hlg_names.task_of,
        count_classes=hlg_names.count_classes,
        read_weights=hlg_names.read_weights,
    ),
    "segmenter": Family(
        architecture=get_architecture("segmenter"),
        read_config=segmenter_configuration.read_config,
        read_image_processor=segmenter_configuration.read_image_processor,
        names={
            "original": WeightNames(segmenter_names.original_rules),
            "mmseg": WeightNames(segmenter_names.mmseg_rules, segmenter_names.mmseg_transforms),
        },
        heads=segmenter_names.HEADS,
        head_of=segmenter_names.head_of,
        count_classes=segmenter_names.count_classes,
        naming_of=segmenter_configuration.naming_of,
        read_weights=segmenter_names.read_weights,
        find_configuration=segmenter_configuration.find_variant,
    ),
    "segvit": Family(
        architecture=get_architecture("segvit"),
        read_config=segvit_configuration.read_config,
        read_image_processor=segvit_configuration.read_image_processor,
        names={"original": WeightNames(segvit_names.segvit_rules)},
        heads=segvit_names.HEADS,
        head_of=segvit_names.head_of,
        count_classes=segvit_names.count_classes,
    ),
    "setr": Family(
        architecture=get_architecture("setr"),
        read_config=setr_configuration.read_config,
        read_image_processor=setr_configuration.read_image_processor,
        names={
            "original": WeightNames(setr_names.original_rules),
            "mmseg": WeightNames(setr_names.mmseg_rules),
        },
        heads=setr_names.HEADS,
        head_of=setr_names.head_of,
        count_classes=setr_names.count_classes,
        naming_of=setr_configuration.naming_of,
    ),
    "vit_adapter": Family(
        architecture=get_architecture("vit_adapter"),
        read_config=vit_adapter_configuration.read_config,
        read_image_processor=vit_adapter_configuration.read_image_processor,
        names={"original": WeightNames(vit_adapter_names.vit_adapter_rules, vit_adapter_names.vit_adapter_transforms)},
        heads=vit_adapter_names.HEADS,
        head_of=vit_adapter_names.head_of,
        count_classes=vit_adapter_names.count_classes,
    ),
}


def get_family(name: str) -> Family:
    """The family of a model type.

    Raises:
        ConversionError: If there is none; lists those that there are.
    """
    if name not in FAMILIES:
        raise ConversionError(f"Unknown family {quoted(name)}: expected one of {', '.join(sorted(FAMILIES))}.")
    return FAMILIES[name]


__all__ = ["FAMILIES", "Family", "WeightNames", "get_family"]
