"""Segmenter's names and ours: those of its authors (https://github.com/rstrudel/segmenter) and of mmsegmentation.

Follows the original's segm/model/vit.py and decoder.py, and mmsegmentation's decode_heads/segmenter_mask_head.py and
fcn_head.py.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch

from segvit_hf import SegmenterConfig
from segvit_hf.conversion.key_mapping import Rule, drop, rename, size_along, under
from segvit_hf.conversion.vit_names import MMSEG_LAYER_RULES, MMSEG_VIT_RULES, TIMM_LAYER_RULES, TIMM_VIT_RULES

# By `SegmenterConfig.decoder_type`. mmsegmentation's mask transformer also has a `conv_seg`, which it does not use.
HEADS = {
    "mask_transformer": r"(decoder|decode_head)\.(cls_emb|mask_norm\..*)",
    "linear": r"(decoder\.head|decode_head\.conv_seg)\..*",
}

_CLASSIFIER = "the ImageNet classifier of the encoder, which the segmentation model never runs"
_ENCODER_RULES = (
    drop("encoder.head.{rest}", _CLASSIFIER),
    drop("encoder.head_dist.{rest}", f"{_CLASSIFIER} (of its distillation token)"),
    *under("encoder.", "encoder.", TIMM_VIT_RULES),
)
_MASK_RULES = (
    rename("proj_dec.{rest}", "input_projection.{rest}"),
    rename("cls_emb", "class_embeddings"),
    rename("proj_patch", "patch_projection"),
    rename("proj_classes", "class_projection"),
    rename("decoder_norm.{rest}", "norm.{rest}"),
    rename("mask_norm.{rest}", "mask_norm.{rest}"),
    *TIMM_LAYER_RULES,
)
_LINEAR_RULES = (rename("head.{rest}", "head.{rest}"),)

_MMSEG_MASK_RULES = (
    drop("conv_seg.{rest}", "mmsegmentation's own classifier, which the mask transformer does not use"),
    rename("cls_emb", "class_embeddings"),
    rename("dec_proj.{rest}", "input_projection.{rest}"),
    rename("patch_proj.weight", "patch_projection"),
    rename("classes_proj.weight", "class_projection"),
    rename("decoder_norm.{rest}", "norm.{rest}"),
    rename("mask_norm.{rest}", "mask_norm.{rest}"),
    *MMSEG_LAYER_RULES,
)
_MMSEG_LINEAR_RULES = (rename("conv_seg.{rest}", "head.{rest}"),)


def original_rules(config: SegmenterConfig) -> tuple[Rule, ...]:
    """The authors' names -> ours."""
    decoder = _LINEAR_RULES if config.decoder_type == "linear" else _MASK_RULES
    return (*_ENCODER_RULES, *under("decoder.", "decoder.", decoder))


def mmseg_rules(config: SegmenterConfig) -> tuple[Rule, ...]:
    """The names of mmsegmentation -> ours."""
    decoder = _MMSEG_LINEAR_RULES if config.decoder_type == "linear" else _MMSEG_MASK_RULES
    return (*under("backbone.", "encoder.", MMSEG_VIT_RULES), *under("decode_head.", "decoder.", decoder))


def mmseg_transforms(config: SegmenterConfig) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
    """Where mmsegmentation has linear layers the original has matrices, and for a linear layer a 1x1 convolution."""
    if config.decoder_type == "linear":
        return {"decode_head.conv_seg.weight": lambda weight: weight.flatten(1)}
    names = ("decode_head.patch_proj.weight", "decode_head.classes_proj.weight")
    return dict.fromkeys(names, lambda weight: weight.T.contiguous())


def head_of(config: SegmenterConfig) -> str:
    """Which of `HEADS` a configuration has."""
    return config.decoder_type


def count_classes(state_dict: Mapping[str, torch.Tensor]) -> int | None:
    """Number of classes of a Segmenter checkpoint of either naming; `None` if it has no decoder."""
    for key, axis in (
        ("decoder.cls_emb", 1),
        ("decoder.head.weight", 0),
        ("decode_head.cls_emb", 1),
        ("decode_head.conv_seg.weight", 0),
    ):
        if key in state_dict:
            return size_along(state_dict[key], axis)
    return None


def read_weights(state_dict: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Fields of `SegmenterConfig`: one released file has fewer decoder layers than the repository's configuration."""
    layers = {match[1] for key in state_dict if (match := re.match(r"decoder\.blocks\.(\d+)\.", key))}
    return {"decoder_num_layers": len(layers)} if layers else {}


__all__ = [
    "HEADS",
    "count_classes",
    "head_of",
    "mmseg_rules",
    "mmseg_transforms",
    "original_rules",
    "read_weights",
]
