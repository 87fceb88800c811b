"""Reads the segmentation models of HLG: mmsegmentation's dictionaries with HLGUPHead and FCNHead."""

from collections.abc import Mapping
from typing import Any

from segvit_hf.conversion.hlg.encoder import read_encoder
from segvit_hf.conversion.mmseg.model import (
    cross_entropy_weight,
    model_fields,
    require_batch_norm,
    require_cross_entropy,
    require_plain_head,
    sliding_window,
)
from segvit_hf.conversion.original_fields import OriginalFields
from segvit_hf.encoders.configuration_hlg import NUM_STAGES

_ALL_MAPS = list(range(NUM_STAGES))


def read_segmentation_model(original: Mapping[str, Any], *, default_eps: float) -> dict[str, Any]:
    """Fields of `HlgConfig`, `num_labels` among them.

    Args:
        original: `model` is read, and `test_cfg` where the model dictionary has none: the authors keep it beside.
        default_eps: Epsilon of the layer norms where the backbone does not say.

    Raises:
        ConversionError: If a field is missing, unknown or not supported, naming it.
    """
    values = original["model"]
    if isinstance(values, Mapping) and values.get("test_cfg") is None:
        values = {**values, "test_cfg": original.get("test_cfg")}
    model = model_fields({"model": values})
    model.require("neck", None, default=None)
    backbone = model.section("backbone")
    fields = read_encoder(backbone, default_eps=default_eps)
    backbone.ignore("num_classes")
    backbone.finish()
    fields |= _decoder_fields(model.section("decode_head"), fields["hidden_sizes"])
    fields |= _auxiliary_fields(model, fields)
    model.ignore("train_cfg")
    fields["sliding_window"] = sliding_window(model)
    model.finish()
    return fields


def _decoder_fields(head: OriginalFields, widths: list[int]) -> dict[str, Any]:
    head.require("type", "HLGUPHead")
    head.require("in_channels", widths)
    head.require("in_index", _ALL_MAPS)
    head.require("fuse_level", 0)
    require_cross_entropy(head)
    require_batch_norm(head)
    num_labels = head.use_int("num_classes")
    require_plain_head(head, num_labels, input_transform="multiple_select")
    fields = {
        "num_labels": num_labels,
        "decoder_hidden_size": head.use_int("channels"),
        "decoder_num_layers": head.use_layers("depth"),
        "decoder_dilated_groups": head.use_int("sr_ratio", 4, minimum=2),
        "decoder_dropout": head.use_rate("dropout_ratio", 0.1),
        "semantic_loss_ignore_index": head.use_index("ignore_index", 255),
    }
    head.finish()
    return fields


def _auxiliary_fields(model: OriginalFields, fields: Mapping[str, Any]) -> dict[str, Any]:
    if not model.use("auxiliary_head", None):
        return {"use_auxiliary_head": False}
    head = model.section("auxiliary_head")
    head.require("type", "FCNHead")
    map_index = head.use_index("in_index", -1) % NUM_STAGES
    head.require("in_channels", fields["hidden_sizes"][map_index])
    head.require("num_classes", fields["num_labels"])
    head.require("kernel_size", 3, default=3)
    head.require("dilation", 1, default=1)
    head.require("concat_input", False)
    head.require("dropout_ratio", fields["decoder_dropout"], default=0.1)
    head.require("ignore_index", fields["semantic_loss_ignore_index"], default=255)
    require_batch_norm(head)
    require_plain_head(head, fields["num_labels"])
    auxiliary = {
        "use_auxiliary_head": True,
        "auxiliary_hidden_size": head.use_int("channels"),
        "auxiliary_num_convolutions": head.use_layers("num_convs", 2, minimum=0),
        "auxiliary_map_index": map_index,
        "auxiliary_loss_weight": cross_entropy_weight(head),
    }
    head.finish()
    return auxiliary


__all__ = ["read_segmentation_model"]
