"""Reads the configurations of Segmenter's authors (https://github.com/rstrudel/segmenter).

Follows the original's `variant.yml`, segm/model/factory.py, segm/config.yml and segm/eval/miou.py.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.labels import label_fields, reduces_labels
from segvit_hf.conversion.original_fields import OriginalFields
from segvit_hf.conversion.reading.plain_yaml import read_plain_yaml
from segvit_hf.data.label_sets import LabelSet, get_label_set
from segvit_hf.messages import quoted

VARIANT_FILE = "variant.yml"

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


def read_variant_config(original: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `SegmenterConfig` for the content of `variant.yml`."""
    data, net, inference = _sections(original)
    window = _sliding_window(inference)
    fields, num_labels = _model_fields(net)
    labels = _label_set(data)
    if labels is not None and labels.num_labels == num_labels:
        original = {"classes": labels.classes, "palette": labels.palette, **original}
    return {**fields, "sliding_window": window, **label_fields(original, num_labels)}


def read_variant_image_processor(original: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `SegmenterImageProcessor` for the content of `variant.yml`."""
    data, _, inference = _sections(original)
    mean, std = _NORMALIZATIONS[data.require("normalization", *_NORMALIZATIONS)]
    _, short_edge, ratio = _DATA_SETS.get(_data_set(data), (None, None, _DEFAULT_RATIO))
    # Known data sets have their own rule, but a size that makes no sense is an error in any file.
    image_size = data.use_int("image_size", *(() if short_edge is None else (short_edge,)))
    short_edge = short_edge or image_size
    labels = _label_set(data)
    return {
        "image_mean": mean,
        "image_std": std,
        "size": {"shortest_edge": short_edge, "longest_edge": ratio * short_edge},
        # The model has the same rule; here it saves resizing the logits twice.
        "minimum_input_short_edge": _sliding_window(inference)["crop_size"][0],
        "do_reduce_labels": reduces_labels(original, default=labels is not None and labels.reduce_zero_label),
    }


def find_variant(checkpoint_file: Path) -> dict[str, Any] | None:
    """The content of the `variant.yml` that lies beside a checkpoint, or `None`."""
    path = checkpoint_file.parent / VARIANT_FILE
    return read_plain_yaml(path) if path.is_file() else None


def _sections(original: Mapping[str, Any]) -> tuple[OriginalFields, OriginalFields, OriginalFields]:
    """What `variant.yml` says of the data, of the model and of the inference."""
    variant = OriginalFields(original, "variant")
    return variant.section("dataset_kwargs"), variant.section("net_kwargs"), variant.section("inference_kwargs")


def _sliding_window(inference: OriginalFields) -> dict[str, list[int]]:
    crop, stride = inference.use_int("window_size"), inference.use_int("window_stride")
    return {"crop_size": [crop, crop], "stride": [stride, stride]}


def _data_set(data: OriginalFields) -> str:
    """The name that `variant.yml` has for the data set, `""` where it has none."""
    name = data.use("dataset", None)
    if name is None:
        return ""
    if not isinstance(name, str):
        raise ConversionError(f"{data.where}.dataset: expected a name, found {quoted(name)}.")
    return name


def _label_set(data: OriginalFields) -> LabelSet | None:
    """Names and colors of the data set that `variant.yml` names."""
    name = _data_set(data)
    return get_label_set(_DATA_SETS[name][0]) if name in _DATA_SETS else None


def _model_fields(net: OriginalFields) -> tuple[dict[str, Any], int]:
    width, num_labels, dropout = net.use_int("d_model"), net.use_int("n_cls"), net.use_rate("dropout", 0.1)
    decoder = net.section("decoder")
    is_linear = "linear" in str(decoder.use("name"))
    decoder.require("n_cls", num_labels, default=num_labels)
    fields: dict[str, Any] = {
        "image_size": net.use_pair("image_size"),
        "patch_size": net.use_int("patch_size"),
        "hidden_size": width,
        "num_hidden_layers": net.use_layers("n_layers"),
        "num_attention_heads": net.use_int("n_heads"),
        "intermediate_size": 4 * width,
        "hidden_dropout_prob": dropout,
        "attention_probs_dropout_prob": dropout,
        "drop_path_rate": net.use_rate("drop_path_rate", 0.0),
        "use_distillation_token": net.use_bool("distilled", False),
        "decoder_type": "linear" if is_linear else "mask_transformer",
    }
    if not is_linear:
        decoder.require("name", "mask_transformer")
        fields["decoder_num_layers"] = decoder.use_layers("n_layers", minimum=0)
        fields["decoder_dropout"] = decoder.use_rate("dropout")
        fields["decoder_drop_path_rate"] = decoder.use_rate("drop_path_rate")
    decoder.finish()
    net.ignore("backbone", "normalization")
    net.finish()
    return fields, num_labels


__all__ = ["VARIANT_FILE", "find_variant", "read_variant_config", "read_variant_image_processor"]
