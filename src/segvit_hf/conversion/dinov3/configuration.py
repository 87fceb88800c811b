"""Reads the configurations of DINOv3's segmentors (https://github.com/facebookresearch/dinov3).

The original has no file that describes a segmentor as a whole; `model` says what its builders are called with:
`build_segmentation_decoder` (dinov3/eval/segmentation/models/__init__.py), the encoder (dinov3/hub/backbones.py),
`DINOv3_Adapter` and the heads. `protocol` says what dinov3/eval/segmentation/configs/ does.
"""

from collections.abc import Mapping
from typing import Any

from segvit_hf._compat import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from segvit_hf.architectures import Architecture, get_architecture
from segvit_hf.conversion.dinov3.backbone import read_backbone, read_out_indices
from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.labels import label_fields, reduces_labels
from segvit_hf.conversion.mmseg.model import sliding_window
from segvit_hf.conversion.mmseg.test_pipeline import values_per_channel
from segvit_hf.conversion.original_fields import OriginalFields
from segvit_hf.messages import listed

LINEAR, MASK2FORMER = "LinearHead", "Mask2FormerHead"
# Short sides of photos in the original's configurations.
_SHORT_EDGES = {LINEAR: 512, MASK2FORMER: 896}
# Fixed in the original's code: of the adapter's norms, and of the maps that its head reads.
_LAYER_NORM_EPS = 1e-6
_NUM_EXTRA_EXTRACTORS = 2
_NUM_LEVELS = 3
# Views at scales below 1 have a short side that is rounded up to a multiple of this.
_SMALL_SCALE_DIVISOR = 32


def architecture_of(original: Mapping[str, Any]) -> Architecture:
    """What an original's configuration describes: a linear head, or ViT-Adapter."""
    model = original.get("model")
    is_adapter = isinstance(model, Mapping) and model.get("decoder_type") == "m2f"
    return get_architecture("vit_adapter" if is_adapter else "linear_head")


def read_config(original: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `LinearHeadConfig` or `VitAdapterConfig`, see `architecture_of`.

    Args:
        original: `model`, `protocol`, `classes` and `palette` are read.

    Raises:
        ConversionError: If a field is missing, unknown or not supported, naming it.
    """
    model = _model_fields(original)
    kind = model.require("decoder_type", "linear", "m2f")
    backbone = read_backbone(model.section("backbone"))
    out_indices = read_out_indices(model, backbone["num_hidden_layers"])
    num_labels = model.use_int("num_classes")
    fields = {"backbone_config": backbone, "backbone_final_norm": True, "encoder_out_indices": out_indices}
    if kind == "linear":
        fields.update(_linear_fields(model.section("decode_head"), backbone, num_labels))
    else:
        fields.update(_adapter_fields(model.section("adapter"), out_indices))
        fields.update(_mask2former_fields(model.section("decode_head"), num_labels))
    window = sliding_window(model) or _window_of_protocol(original)
    model.finish()
    windows = {"sliding_window": window, "square_small_inputs": window is not None}
    return {**fields, **windows, **label_fields(original, num_labels)}


def _model_fields(original: Mapping[str, Any]) -> OriginalFields:
    if "model" not in original:
        raise ConversionError(
            "The original's configuration: expected a dictionary with the key 'model', found the keys "
            f"{listed(original)}."
        )
    model = OriginalFields(original["model"], "model")
    model.require("type", "FeatureDecoder", default="FeatureDecoder")
    return model


def _linear_fields(head: OriginalFields, backbone: Mapping[str, Any], num_labels: int) -> dict[str, Any]:
    head.require("type", LINEAR)
    head.require("n_output_channels", num_labels)
    head.require("use_cls_token", False, default=False)
    widths = head.use_indices("in_channels")
    if set(widths) != {backbone["hidden_size"]}:
        raise ConversionError(
            f"{head.where}.in_channels: expected {backbone['hidden_size']} for each of the layers, found {widths}."
        )
    fields = {
        "decoder_dropout": head.use_rate("dropout", 0.1),
        "use_batch_norm": head.use_bool("use_batchnorm", True),
        "freeze_backbone": True,
        "backbone_padding": "cut",
    }
    head.finish()
    return fields


def _adapter_fields(adapter: OriginalFields, out_indices: list[int]) -> dict[str, Any]:
    adapter.require("interaction_indexes", out_indices)
    adapter.require("with_cffn", True, default=True)
    adapter.require("norm_eps", _LAYER_NORM_EPS, default=_LAYER_NORM_EPS)
    adapter.ignore("pretrain_size", "init_values", "with_cp")
    fields = {
        "layer_norm_eps": _LAYER_NORM_EPS,
        "spatial_prior_hidden_size": adapter.use_int("conv_inplane", 64),
        "adapter_num_points": adapter.use_layers("n_points", 4),
        "adapter_num_attention_heads": adapter.use_int("deform_num_heads", 16),
        "adapter_value_ratio": adapter.use_ratio("deform_ratio", 0.5),
        "adapter_mlp_ratio": adapter.use_ratio("cffn_ratio", 0.25),
        "drop_path_rate": adapter.use_rate("drop_path_rate", 0.3),
        "num_extra_extractors": _NUM_EXTRA_EXTRACTORS if adapter.use_bool("use_extra_extractor", True) else 0,
        "add_vit_features": adapter.use_bool("add_vit_feature", True),
    }
    adapter.finish()
    return fields


def _mask2former_fields(head: OriginalFields, num_labels: int) -> dict[str, Any]:
    head.require("type", MASK2FORMER)
    head.require("num_classes", num_labels)
    head.require("num_feature_levels", _NUM_LEVELS, default=_NUM_LEVELS)
    head.require("group_norm_groups", 32, default=32)
    width, num_heads, intermediate_size = (
        head.use_int(name, default)
        for name, default in (("hidden_dim", 2048), ("nheads", 16), ("dim_feedforward", 4096))
    )
    fields = {
        "decoder_type": "mask2former",
        "decoder_hidden_size": width,
        "mask_feature_size": head.use_int("mask_dim", width),
        "num_queries": head.use_int("num_queries", 100),
        "pixel_decoder_num_layers": head.use_layers("enc_layers", 6),
        "pixel_decoder_num_attention_heads": num_heads,
        "pixel_decoder_num_points": head.use_layers("enc_points", 4),
        "pixel_decoder_intermediate_size": intermediate_size,
        "decoder_num_layers": head.use_layers("dec_layers", 9),
        "decoder_num_attention_heads": num_heads,
        "decoder_intermediate_size": intermediate_size,
        "resize_mask_logits": True,
        "semantic_loss_ignore_index": head.use_index("ignore_value", 255),
    }
    head.finish()
    return fields


def _window_of_protocol(original: Mapping[str, Any]) -> dict[str, Any] | None:
    protocol = original.get("protocol") or {}
    if "crop_size" not in protocol:
        return None
    fields = OriginalFields(protocol, "protocol")
    return {"crop_size": fields.use_pair("crop_size"), "stride": fields.use_pair("stride")}


def read_image_processor(original: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `LinearHeadImageProcessor` or `VitAdapterImageProcessor`.

    Args:
        original: `protocol` (its `img_size`, or the resize and the normalization in its `test_pipeline`) and
            `reduce_zero_label`, also inside `protocol`, are read. Absent ones are those of the original's
            configurations.

    Raises:
        ConversionError: If a step or a setting of the pipeline is not supported, naming it.
    """
    protocol = original.get("protocol") or {}
    # The other one, "whole", squeezes every photo into a square of 512 pixels.
    OriginalFields(protocol, "protocol").require("kind", "slide", default="slide")
    is_adapter = architecture_of(original) is get_architecture("vit_adapter")
    arguments: dict[str, Any] = {
        "size": {"shortest_edge": _SHORT_EDGES[MASK2FORMER if is_adapter else LINEAR]},
        "resize_method": "pil",
        "small_scale_divisor": _SMALL_SCALE_DIVISOR,
        "image_mean": IMAGENET_DEFAULT_MEAN,
        "image_std": IMAGENET_DEFAULT_STD,
        "do_reduce_labels": reduces_labels({**protocol, **original}, default=False),
    }
    if is_adapter:
        arguments["size_divisor"] = None
    if protocol.get("img_size") is not None:
        arguments["size"] = {"shortest_edge": OriginalFields(protocol, "protocol").use_int("img_size")}
    for step in OriginalFields(protocol, "protocol").sections("test_pipeline"):
        arguments.update(_step_arguments(step))
    return arguments


def _step_arguments(step: OriginalFields) -> dict[str, Any]:
    kind = step.require("type", "FixedSideResize", "Normalize")
    if kind == "FixedSideResize":
        step.require("keep_ratio", True, default=True)
        step.ignore("interpolation", "rounding")
        arguments: dict[str, Any] = {"size": {"shortest_edge": step.use_int("small_size")}}
    else:
        step.require("to_rgb", True, default=True)
        arguments = {f"image_{name}": values_per_channel(step, name) for name in ("mean", "std")}
    step.finish()
    return arguments


__all__ = ["LINEAR", "MASK2FORMER", "architecture_of", "read_config", "read_image_processor"]
