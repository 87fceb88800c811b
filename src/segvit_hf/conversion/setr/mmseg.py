"""Reads SETR's configurations in mmsegmentation's zoo.

Follows mmsegmentation 0.x's configs/setr/ and configs/_base_/models/setr_*.py: VisionTransformer with SETRUPHead
(Naive, PUP), and with MLANeck, SETRMLAHead and FCNHead as auxiliary head. It differs from the original's own: no bias
in front of batch norm, an upsampling behind every convolution, MLA's maps counted from the deepest layer, a 1x1
classifier, and upsampling that does not align corners.
"""

from collections.abc import Sequence
from typing import Any

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.mmseg.model import require_batch_norm, require_plain_head, same_for_all
from segvit_hf.conversion.mmseg.vit import layer_norm_eps, mmseg_vit_configuration
from segvit_hf.conversion.original_fields import OriginalFields
from segvit_hf.conversion.setr.losses import loss_fields

MMSEG_HEAD_TYPES = ("SETRUPHead", "SETRMLAHead")
# The dropout of mmsegmentation's base class for heads.
_DROPOUT = 0.1
_LAYER_NORM_EPS = 1e-6


def read_mmseg_model(model: OriginalFields) -> dict[str, Any]:
    """Fields of `SetrConfig`, except `sliding_window`, for a model dictionary of mmsegmentation.

    Raises:
        ConversionError: If a field is missing, unknown or not supported, naming it.
    """
    fields = mmseg_vit_configuration(model.section("backbone"))
    decode_head, auxiliary_heads = model.section("decode_head"), model.sections("auxiliary_head")
    heads = (decode_head, *auxiliary_heads)
    fields |= loss_fields(decode_head, auxiliary_heads)
    dropouts = [head.use_rate("dropout_ratio", _DROPOUT) for head in heads]
    fields["classifier_dropout"] = same_for_all(heads, "dropout_ratio", dropouts, _DROPOUT)
    if decode_head.require("type", *MMSEG_HEAD_TYPES) == "SETRMLAHead":
        fields.update(_mla_fields(model, decode_head, auxiliary_heads, fields))
    else:
        model.require("neck", None, default=None)
        fields.update(_up_head_fields(decode_head, auxiliary_heads, fields))
    for head in heads:
        head.finish()
    return fields


def _up_head_fields(
    decode_head: OriginalFields, auxiliary_heads: Sequence[OriginalFields], fields: dict[str, Any]
) -> dict[str, Any]:
    shapes, indices = [], []
    num_feature_maps = len(fields["encoder_out_indices"])
    heads = (decode_head, *auxiliary_heads)
    for head in heads:
        head.require("type", "SETRUPHead")
        head.require("in_channels", fields["hidden_size"])
        require_plain_head(head, fields["num_labels"])
        require_batch_norm(head)
        _require_layer_norm(head, fields["layer_norm_eps"])
        shapes.append((head.use_layers("num_convs", 1), head.use_int("up_scale", 4), head.use_int("kernel_size", 3)))
        indices.append(head.use_index("in_index", -1) % num_feature_maps)
    if indices[0] != num_feature_maps - 1:
        raise ConversionError(
            f"{decode_head.where}.in_index = {indices[0]} is not supported: expected the deepest of the "
            f"{num_feature_maps} feature maps."
        )
    num_convolutions, upsampling, kernel_size = shapes[0]
    auxiliary = same_for_all(auxiliary_heads, "num_convs, up_scale, kernel_size", shapes[1:], shapes[0])
    return {
        "decoder_type": "naive" if num_convolutions == 1 else "pup",
        "decoder_hidden_size": same_for_all(heads, "channels", [head.use_int("channels") for head in heads], None),
        "decoder_num_convolutions": num_convolutions,
        "decoder_upsampling": upsampling,
        "decoder_kernel_size": kernel_size,
        "decoder_convolution_bias": False,
        "auxiliary_in_indices": indices[1:],
        "auxiliary_num_convolutions": auxiliary[0],
        "auxiliary_upsampling": auxiliary[1],
        "auxiliary_kernel_size": auxiliary[2],
        "auxiliary_classifier_bias": True,
    }


def _mla_fields(
    model: OriginalFields,
    decode_head: OriginalFields,
    auxiliary_heads: Sequence[OriginalFields],
    fields: dict[str, Any],
) -> dict[str, Any]:
    num_levels = len(fields["encoder_out_indices"])
    neck = model.section("neck")
    neck.require("type", "MLANeck")
    neck.require("in_channels", [fields["hidden_size"]] * num_levels)
    neck.require("act_cfg", {"type": "ReLU"})
    require_batch_norm(neck)
    _require_layer_norm(neck, fields["layer_norm_eps"])
    width = neck.use_int("out_channels")
    neck.finish()
    decode_head.require("in_channels", [width] * num_levels)
    decode_head.require("in_index", list(range(num_levels)))
    require_plain_head(decode_head, fields["num_labels"], input_transform="multiple_select")
    require_batch_norm(decode_head)
    head_width = decode_head.use_int("mla_channels", 128)
    decode_head.require("channels", num_levels * head_width)
    in_indices = []
    for head in auxiliary_heads:
        head.require("type", "FCNHead")
        head.require("num_convs", 0)
        head.require("concat_input", False)
        head.require("in_channels", width)
        head.require("channels", width)
        require_plain_head(head, fields["num_labels"])
        # Of convolutions that are not there.
        head.ignore("norm_cfg", "kernel_size", "dilation")
        in_indices.append(head.use_index("in_index", -1) % num_levels)
    return {
        "decoder_type": "mla",
        "decoder_hidden_size": width,
        "decoder_upsampling": decode_head.use_int("up_scale", 4),
        "mla_head_hidden_size": head_width,
        "mla_classifier_kernel_size": 1,
        "mla_align_corners": False,
        "mla_deepest_first": True,
        "auxiliary_in_indices": in_indices,
        "auxiliary_classifier_bias": True,
    }


def _require_layer_norm(fields: OriginalFields, encoder_eps: float) -> None:
    eps = layer_norm_eps(fields, "norm_layer") if fields.use("norm_layer", None) is not None else _LAYER_NORM_EPS
    if eps != encoder_eps:
        raise ConversionError(
            f"{fields.where}.norm_layer: eps = {eps} is not supported: expected {encoder_eps}, as in the encoder."
        )


__all__ = ["MMSEG_HEAD_TYPES", "read_mmseg_model"]
