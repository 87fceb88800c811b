"""DINOv2's names (https://github.com/facebookresearch/dinov2) and ours.

Follows dinov2/models/vision_transformer.py, dinov2/eval/segmentation/models/decode_heads/linear_head.py and
dinov2/eval/segmentation_m2f/ of the original.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from segvit_hf.conversion.dinov2.configuration import LINEAR, MASK2FORMER
from segvit_hf.conversion.key_mapping import Rule, rename, size_along, split_under, under
from segvit_hf.conversion.vit_adapter import names as vit_adapter_names
from segvit_hf.conversion.vit_names import DINOV2_ADAPTER_VIT_RULES, DINOV2_VIT_RULES, DINOV2_VIT_SPLITS

# mmsegmentation's heads all have a `conv_seg`, so that what only Mask2Former has is asked first.
HEADS = {MASK2FORMER: vit_adapter_names.HEADS["mask2former"], LINEAR: r"decode_head\.conv_seg\..*"}
DINOV2_SPLITS = split_under("backbone.", DINOV2_VIT_SPLITS)
_CLASSIFIER = "decode_head.conv_seg.weight"

_LINEAR_RULES: tuple[Rule, ...] = (
    *under("backbone.", "encoder.", DINOV2_VIT_RULES),
    rename("decode_head.bn.{rest}", "decoder.norm.{rest}"),
    rename("decode_head.conv_seg.{rest}", "decoder.classifier.{rest}"),
)


def dinov2_rules(config: Any) -> tuple[Rule, ...]:
    """Original names -> ours."""
    if config.model_type == "linear_head":
        return _LINEAR_RULES
    adapter = vit_adapter_names.vit_adapter_rules(config)
    return (*under("backbone.", "encoder.", DINOV2_ADAPTER_VIT_RULES), *adapter)


def dinov2_transforms(config: Any) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
    """As those of ViT-Adapter, for the models that are its."""
    return {} if config.model_type == "linear_head" else vit_adapter_names.vit_adapter_transforms(config)


def encoder_prefix(head: Mapping[str, torch.Tensor]) -> str | None:
    """Where an encoder's names go beside a linear head's; files with an adapter hold their encoder."""
    return None if any(key.startswith("backbone.interactions.") for key in head) else "backbone."


def head_of(config: Any) -> str:
    """Which of `HEADS` a configuration has."""
    return LINEAR if config.model_type == "linear_head" else MASK2FORMER


def count_classes(state_dict: Mapping[str, torch.Tensor]) -> int | None:
    """Number of classes of a DINOv2 segmentor, read from its classifier; `None` if it has none."""
    if any(key.startswith("backbone.interactions.") for key in state_dict):
        return vit_adapter_names.count_classes(state_dict)
    classifier = state_dict.get(_CLASSIFIER)
    return None if classifier is None else size_along(classifier, 0)


__all__ = ["DINOV2_SPLITS", "HEADS", "count_classes", "dinov2_rules", "dinov2_transforms", "encoder_prefix", "head_of"]
