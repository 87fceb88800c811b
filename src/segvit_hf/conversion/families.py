"""What conversion knows of each architecture: one entry per model type, all of the same form."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import PreTrainedConfig

from segvit_hf.architectures import Architecture, get_architecture
from segvit_hf.conversion.dinov2 import configuration as dinov2_configuration
from segvit_hf.conversion.dinov2 import names as dinov2_names
from segvit_hf.conversion.dinov2.transformers_names import with_original_names
from segvit_hf.conversion.dinov3 import configuration as dinov3_configuration
from segvit_hf.conversion.dinov3 import names as dinov3_names
from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.hlg import configuration as hlg_configuration
from segvit_hf.conversion.hlg import names as hlg_names
from segvit_hf.conversion.key_mapping import Rule, Split
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
        splits: Which tensors are several of ours; rules and transforms are asked for the parts.
        absent: For a configuration and the names that a file has, what stands for entries that it may lack, by
            original name.
    """

    rules: Callable[[Any], Sequence[Rule]]
    transforms: Callable[[Any], Mapping[str, Transform]] = lambda _config: {}
    splits: Sequence[Split] = ()
    absent: Callable[[Any, Collection[str]], Weights] = lambda _config, _keys: {}


@dataclass(frozen=True)
class Family:
    """One architecture, or the models of one project.

    Attributes:
        architecture: The classes that a checkpoint becomes.
        encoder_prefix: Where the names of an encoder go that comes apart from its head, for a head's weights; `None`
            where files hold both.
        read_encoder: Brings the weights of such an encoder to names of the original.
        other_architectures, choose_architecture: Where decoders of several architectures were released: the others,
            and which one an original's configuration describes.
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
    encoder_prefix: Callable[[Weights], str | None] = lambda _head: None
    read_encoder: Callable[[Weights], Weights] = lambda weights: weights
    other_architectures: tuple[Architecture, ...] = ()
    choose_architecture: Callable[[Original], Architecture] | None = None

    @property
    def config_classes(self) -> tuple[type[PreTrainedConfig], ...]:
        """The classes of its configurations."""
        return tuple(architecture.config for architecture in (self.architecture, *self.other_architectures))

    def architecture_of(self, original: Original) -> Architecture:
        """The classes that a checkpoint of an original's configuration becomes."""
        return self.architecture if self.choose_architecture is None else self.choose_architecture(original)

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
            return self.architecture_of(original).config(**fields)
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
        processor_class = self.other_image_processor(original) or self.architecture_of(original).image_processor
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

    def absent(self, config: PreTrainedConfig, keys: Collection[str], naming: Naming = "original") -> Weights:
        """By original name, what stands for entries that a file with these names lacks and may lack."""
        return self.names[naming].absent(config, keys)

    def splits(self, naming: Naming = "original") -> Sequence[Split]:
        """Which tensors are several of ours."""
        return self.names[naming].splits

    def head_of_weights(self, keys: Collection[str]) -> str | None:
        """Which of `heads` the original names show, or `None`."""
        return next((head for head, pattern in self.heads.items() if fits_some(pattern, keys)), None)


# By model type, or by the name of the project.
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
    "dinov2": Family(
        architecture=get_architecture("linear_head"),
        other_architectures=(get_architecture("vit_adapter"),),
        choose_architecture=dinov2_configuration.architecture_of,
        read_config=dinov2_configuration.read_config,
        read_image_processor=dinov2_configuration.read_image_processor,
        names={
            "original": WeightNames(
                dinov2_names.dinov2_rules, dinov2_names.dinov2_transforms, splits=dinov2_names.DINOV2_SPLITS
            )
        },
        heads=dinov2_names.HEADS,
        head_of=dinov2_names.head_of,
        count_classes=dinov2_names.count_classes,
        encoder_prefix=dinov2_names.encoder_prefix,
        read_encoder=with_original_names,
    ),
    "dinov3": Family(
        architecture=get_architecture("linear_head"),
        other_architectures=(get_architecture("vit_adapter"),),
        choose_architecture=dinov3_configuration.architecture_of,
        read_config=dinov3_configuration.read_config,
        read_image_processor=dinov3_configuration.read_image_processor,
        names={
            "original": WeightNames(
                dinov3_names.dinov3_rules,
                dinov3_names.dinov3_transforms,
                splits=dinov3_names.DINOV3_SPLITS,
                absent=dinov3_names.dinov3_absent,
            )
        },
        heads=dinov3_names.HEADS,
        head_of=dinov3_names.head_of,
        count_classes=dinov3_names.count_classes,
        encoder_prefix=dinov3_names.encoder_prefix,
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
        names={
            "original": WeightNames(segvit_names.segvit_rules),
            "mmseg": WeightNames(segvit_names.mmseg_beit_rules),
        },
        heads=segvit_names.HEADS,
        head_of=segvit_names.head_of,
        count_classes=segvit_names.count_classes,
        naming_of=segvit_configuration.naming_of,
        read_weights=segvit_names.read_weights,
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
