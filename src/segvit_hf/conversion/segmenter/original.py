"""Segmenter (Strudel et al., ICCV 2021): configuration, image processor, names.

Covers two layouts: that of https://github.com/rstrudel/segmenter (`checkpoint.pth` with `variant.yml`) and, in
`segmenter_mmseg`, that of mmsegmentation's zoo. Which of the two it is shows in the configuration's keys.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from segvit_hf import SegmenterConfig, SegmenterForSemanticSegmentation, SegmenterImageProcessor
from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.key_mapping import Rule, drop, rename, under
from segvit_hf.conversion.mmseg.vit import TIMM_VIT_RULES
from segvit_hf.conversion.original_fields import OriginalFields
from segvit_hf.conversion.plan import ConversionPlan, build_config, label_arguments
from segvit_hf.conversion.reading.plain_yaml import read_plain_yaml
from segvit_hf.conversion.segmenter.mmseg import plan_mmseg_conversion
from segvit_hf.data.label_sets import get_label_set

VARIANT_FILE = "variant.yml"

_CLASSIFIER = "the ImageNet classifier of the encoder, which the segmentation model never runs"

_DECODER_RULES = (
    rename("proj_dec.{rest}", "input_projection.{rest}"),
    rename("cls_emb", "class_embeddings"),
    rename("proj_patch", "patch_projection"),
    rename("proj_classes", "class_projection"),
    rename("decoder_norm.{rest}", "norm.{rest}"),
    rename("mask_norm.{rest}", "mask_norm.{rest}"),
    *(rule for rule in TIMM_VIT_RULES if rule.original.startswith("blocks.")),
)
_HEAD_RULES = (rename("head.{rest}", "head.{rest}"),)

RULES: tuple[Rule, ...] = (
    drop("encoder.head.{rest}", _CLASSIFIER),
    drop("encoder.head_dist.{rest}", f"{_CLASSIFIER} (of its distillation token)"),
    *under("encoder.", "encoder.", TIMM_VIT_RULES),
    *under("decoder.", "decoder.", _DECODER_RULES),
    *under("decoder.", "decoder.", _HEAD_RULES),
)

# By the name that variant.yml has for a data set: our label set; the short side and the ratio of long to short side
# within which segm/eval/miou.py resizes photos.
_DATA_SETS = {
    "ade20k": ("ade20k", 512, 4),
    "cityscapes": ("cityscapes", 1024, 2),
    "pascal_context": ("pascal_context_voc", 520, 8),
}
_DEFAULT_RATIO = 4

# `normalization` of variant.yml: mean and standard deviation of pixels in 0..1.
_NORMALIZATIONS = {
    "vit": ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5]),
    "deit": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
}


def plan_conversion(state_dict: Mapping[str, torch.Tensor], original: Mapping[str, Any]) -> ConversionPlan:
    """Args:
        state_dict: Original names to tensors; read for the number of decoder layers.
        original: The content of `variant.yml` (`net_kwargs`, `dataset_kwargs`, `inference_kwargs`), or
            mmsegmentation's `{"model": ..., "test_pipeline": ...}`; optional keys `classes`, `palette` and
            `reduce_zero_label`. Without `classes` and `palette`, those of the data set that `variant.yml` names are
            taken.

    Raises:
        ConversionError: If the configuration is incomplete, unsupported or not that of the weights.
    """
    _check_layout(state_dict, original)
    if "model" in original:
        return plan_mmseg_conversion(state_dict, original)
    variant = OriginalFields(original, "variant")
    for name in ("net_kwargs", "dataset_kwargs", "inference_kwargs"):
        variant.use(name)
    data = variant.section("dataset_kwargs")
    window = _window(variant.section("inference_kwargs"))
    fields, num_labels = _model_fields(variant.section("net_kwargs"), state_dict)
    data_set = data.use("dataset", None)
    original = _with_labels(original, data_set, num_labels)
    labels = label_arguments(original, num_labels)
    config = build_config(SegmenterConfig, "variant.net_kwargs", **fields, **labels, sliding_window=window)
    _check_classes(config, state_dict)
    return ConversionPlan(
        config=config,
        model_class=SegmenterForSemanticSegmentation,
        image_processor=_image_processor(data, window, bool(original.get("reduce_zero_label", False))),
        rules=RULES,
    )


def count_classes(state_dict: Mapping[str, torch.Tensor]) -> int | None:
    """Number of classes of a Segmenter checkpoint in either layout; `None` if it has no decoder."""
    for key, axis in (
        ("decoder.cls_emb", 1),
        ("decoder.head.weight", 0),
        ("decode_head.cls_emb", 1),
        ("decode_head.conv_seg.weight", 0),
    ):
        if key in state_dict:
            return state_dict[key].shape[axis]
    return None


def find_layout(state_dict: Mapping[str, torch.Tensor]) -> str:
    """`"mmseg"` for names of mmsegmentation, else `"original"`."""
    return "mmseg" if any(key.startswith("backbone.") for key in state_dict) else "original"


def find_variant(checkpoint_file: Path) -> dict[str, Any] | None:
    """The content of the `variant.yml` that lies beside a checkpoint, or `None`."""
    path = checkpoint_file.parent / VARIANT_FILE
    return read_plain_yaml(path) if path.is_file() else None


def _check_layout(state_dict: Mapping[str, torch.Tensor], original: Mapping[str, Any]) -> None:
    if not state_dict:
        return
    is_mmseg = find_layout(state_dict) == "mmseg"
    if is_mmseg and "model" not in original:
        raise ConversionError(
            "The weights are in mmsegmentation's layout: expected a configuration with the key 'model' "
            f"(mmsegmentation's model dict), found the keys {sorted(original)}."
        )
    if not is_mmseg and "net_kwargs" not in original:
        raise ConversionError(
            "The weights are in the layout of rstrudel/segmenter: expected the content of its variant.yml "
            f"(net_kwargs, dataset_kwargs, inference_kwargs), found the keys {sorted(original)}."
        )


def _model_fields(net: OriginalFields, state_dict: Mapping[str, torch.Tensor]) -> tuple[dict[str, Any], int]:
    width, num_labels, dropout = net.use_int("d_model"), net.use_int("n_cls"), net.use_number("dropout", 0.1)
    decoder = net.section("decoder")
    is_linear = "linear" in str(decoder.use("name"))
    decoder.require("n_cls", num_labels, default=num_labels)
    fields: dict[str, Any] = {
        "image_size": net.use_pair("image_size"),
        "patch_size": net.use_int("patch_size"),
        "hidden_size": width,
        "num_hidden_layers": net.use_int("n_layers"),
        "num_attention_heads": net.use_int("n_heads"),
        "intermediate_size": 4 * width,
        "hidden_dropout_prob": dropout,
        "attention_probs_dropout_prob": dropout,
        "drop_path_rate": net.use_number("drop_path_rate", 0.0),
        "use_distillation_token": net.use_bool("distilled", False),
        "decoder_type": "linear" if is_linear else "mask_transformer",
    }
    if not is_linear:
        decoder.require("name", "mask_transformer")
        # One released file has another number of layers than the repository's configuration.
        configured = decoder.use_int("n_layers")
        fields["decoder_num_layers"] = _count_decoder_layers(state_dict) or configured
        fields["decoder_dropout"] = decoder.use_number("dropout")
        fields["decoder_drop_path_rate"] = decoder.use_number("drop_path_rate")
    decoder.finish()
    net.ignore("backbone", "normalization")
    net.finish()
    return fields, num_labels


def _count_decoder_layers(state_dict: Mapping[str, torch.Tensor]) -> int:
    return len({match[1] for key in state_dict if (match := re.match(r"decoder\.blocks\.(\d+)\.", key))})


def _window(inference: OriginalFields) -> dict[str, list[int]]:
    crop, stride = inference.use_int("window_size"), inference.use_int("window_stride")
    return {"crop_size": [crop, crop], "stride": [stride, stride]}


def _with_labels(original: Mapping[str, Any], data_set: Any, num_labels: int) -> Mapping[str, Any]:
    """`original` with the names and colors of its data set, unless it brings its own or has other classes."""
    if data_set not in _DATA_SETS:
        return original
    labels = get_label_set(_DATA_SETS[data_set][0])
    known: dict[str, Any] = {"reduce_zero_label": labels.reduce_zero_label}
    if labels.num_labels == num_labels:
        known |= {"classes": labels.classes, "palette": labels.palette}
    return {**known, **original}


def _image_processor(data: OriginalFields, window: dict[str, list[int]], reduce_labels: bool) -> Any:
    mean, std = _NORMALIZATIONS[data.require("normalization", *_NORMALIZATIONS)]
    _, short_edge, ratio = _DATA_SETS.get(data.use("dataset", None), (None, None, _DEFAULT_RATIO))
    short_edge = data.use_int("image_size") if short_edge is None else short_edge
    return SegmenterImageProcessor(
        image_mean=mean,
        image_std=std,
        size={"shortest_edge": short_edge, "longest_edge": ratio * short_edge},
        # The model has the same rule; here it saves resizing the logits twice.
        minimum_input_short_edge=window["crop_size"][0],
        do_reduce_labels=reduce_labels,
    )


def _check_classes(config: SegmenterConfig, state_dict: Mapping[str, torch.Tensor]) -> None:
    found = count_classes(state_dict)
    if found is not None and found != config.num_labels:
        raise ConversionError(
            f"The configuration has {config.num_labels} classes (net_kwargs.n_cls), the weights have {found}."
        )


__all__ = ["RULES", "VARIANT_FILE", "count_classes", "find_layout", "find_variant", "plan_conversion"]
