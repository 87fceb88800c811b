"""Reads the Mask2Former heads of ViT-Adapter's configurations.

Follows segmentation/mmseg_custom/models/decode_heads/mask2former_head.py and plugins/msdeformattn_pixel_decoder.py of
https://github.com/czczup/ViT-Adapter.
"""

import math
from collections.abc import Mapping
from typing import Any

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.original_fields import OriginalFields
from segvit_hf.encoders.configuration_vit_adapter import NUM_FEATURE_MAPS
from segvit_hf.messages import quoted

_ALL_MAPS = list(range(NUM_FEATURE_MAPS))


def read_mask2former(head: OriginalFields, encoder_width: int) -> tuple[dict[str, Any], int]:
    """Fields of `VitAdapterConfig` for a `decode_head`, and the number of classes."""
    num_labels = head.use_int("num_things_classes", 80, minimum=0) + head.use_int("num_stuff_classes", 53, minimum=0)
    width = head.use_int("feat_channels")
    head.require("in_channels", [encoder_width] * NUM_FEATURE_MAPS)
    head.require("in_index", _ALL_MAPS, default=_ALL_MAPS)
    head.require("num_transformer_feat_level", 3, default=3)
    head.require("enforce_decoder_input_project", False, default=False)
    head.require("align_corners", False, default=False)
    _require_positions(head, width)
    classes = head.section("loss_cls")
    weights = classes.use("class_weight")
    if not _is_plain_weighting(weights, num_labels):
        raise ConversionError(
            f"{classes.where}.class_weight: expected 1.0 for each of the {num_labels} classes and a weight for no "
            f"object, found {quoted(weights)}."
        )
    fields = {
        "decoder_type": "mask2former",
        "decoder_hidden_size": width,
        "mask_feature_size": head.use_int("out_channels"),
        "num_queries": head.use_int("num_queries", 100),
        "class_loss_weight": _loss_weight(classes, "CrossEntropyLoss", {"use_sigmoid": False}),
        "mask_loss_weight": _loss_weight(head.section("loss_mask"), "CrossEntropyLoss", {"use_sigmoid": True}),
        "dice_loss_weight": _loss_weight(
            head.section("loss_dice"),
            "DiceLoss",
            {"use_sigmoid": True, "activate": True, "naive_dice": True, "eps": 1.0},
        ),
        "no_object_weight": float(weights[-1]),
        "semantic_loss_ignore_index": head.use_index("ignore_index", 255),
        **_pixel_decoder_fields(head.section("pixel_decoder"), width),
        **_transformer_decoder_fields(head.section("transformer_decoder"), width),
    }
    head.ignore("init_cfg")
    head.finish()
    return fields, num_labels


def _is_plain_weighting(weights: Any, num_labels: int) -> bool:
    if not isinstance(weights, (list, tuple)) or list(weights[:-1]) != [1.0] * num_labels:
        return False
    return type(weights[-1]) in (int, float) and 0 <= weights[-1] < math.inf


def _loss_weight(loss: OriginalFields, kind: str, fixed: Mapping[str, Any]) -> float:
    loss.require("type", kind)
    loss.require("reduction", "mean", default="mean")
    for name, value in fixed.items():
        loss.require(name, value)
    loss.ignore("class_weight")
    weight = loss.use_number("loss_weight", 1.0)
    loss.finish()
    return weight


def _require_positions(fields: OriginalFields, width: int) -> None:
    positions = fields.section("positional_encoding")
    positions.require("type", "SinePositionalEncoding")
    positions.require("num_feats", width // 2)
    positions.require("normalize", True)
    positions.finish()


def _require_feed_forward(layers: OriginalFields, width: int) -> int:
    feed_forward = layers.section("ffn_cfgs")
    feed_forward.require("type", "FFN", default="FFN")
    feed_forward.require("embed_dims", width)
    feed_forward.require("num_fcs", 2, default=2)
    feed_forward.require("ffn_drop", 0.0, default=0.0)
    feed_forward.require("add_identity", True, default=True)
    feed_forward.require("dropout_layer", None, default=None)
    feed_forward.ignore("with_cp", "act_cfg", "init_cfg")
    intermediate_size = feed_forward.use_int("feedforward_channels")
    feed_forward.finish()
    return intermediate_size


def _pixel_decoder_fields(decoder: OriginalFields, width: int) -> dict[str, Any]:
    decoder.require("type", "MSDeformAttnPixelDecoder")
    decoder.require("num_outs", 3, default=3)
    decoder.require("norm_cfg", {"type": "GN", "num_groups": 32})
    decoder.require("act_cfg", {"type": "ReLU"})
    _require_positions(decoder, width)
    encoder = decoder.section("encoder")
    encoder.require("type", "DetrTransformerEncoder")
    layers = encoder.section("transformerlayers")
    layers.require("type", "BaseTransformerLayer")
    layers.require("operation_order", ["self_attn", "norm", "ffn", "norm"])
    attention = layers.section("attn_cfgs")
    attention.require("type", "MultiScaleDeformableAttention")
    attention.require("embed_dims", width)
    attention.require("num_levels", 3)
    attention.require("dropout", 0.0)
    attention.ignore("im2col_step", "batch_first", "norm_cfg", "init_cfg")
    fields = {
        "pixel_decoder_num_layers": encoder.use_layers("num_layers"),
        "pixel_decoder_num_attention_heads": attention.use_int("num_heads"),
        "pixel_decoder_num_points": attention.use_int("num_points"),
        "pixel_decoder_intermediate_size": _require_feed_forward(layers, width),
    }
    decoder.ignore("init_cfg")
    encoder.ignore("init_cfg")
    for section in (attention, layers, encoder, decoder):
        section.finish()
    return fields


def _transformer_decoder_fields(decoder: OriginalFields, width: int) -> dict[str, Any]:
    decoder.require("type", "DetrTransformerDecoder")
    layers = decoder.section("transformerlayers")
    layers.require("type", "DetrTransformerDecoderLayer")
    layers.require("operation_order", ["cross_attn", "norm", "self_attn", "norm", "ffn", "norm"])
    attention = layers.section("attn_cfgs")
    attention.require("type", "MultiheadAttention")
    attention.require("embed_dims", width)
    attention.require("attn_drop", 0.0, default=0.0)
    attention.require("proj_drop", 0.0, default=0.0)
    attention.require("dropout_layer", None, default=None)
    attention.ignore("batch_first")
    intermediate_size = _require_feed_forward(layers, width)
    layers.require("feedforward_channels", intermediate_size)
    fields = {
        "decoder_num_layers": decoder.use_layers("num_layers"),
        "decoder_num_attention_heads": attention.use_int("num_heads"),
        "decoder_intermediate_size": intermediate_size,
    }
    decoder.ignore("return_intermediate", "init_cfg")
    for section in (attention, layers, decoder):
        section.finish()
    return fields


def read_matching(model: OriginalFields, decoder: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `VitAdapterConfig` for the `train_cfg` of a model dictionary, which may be absent.

    Args:
        model: The model dictionary.
        decoder: What `read_mask2former` gives: the weights of the loss, which must be those of the matching.
    """
    if not model.use("train_cfg", None):
        return {}
    train = model.section("train_cfg")
    assigner = train.section("assigner")
    assigner.require("type", "MaskHungarianAssigner")
    for name, kind, fixed in (
        ("cls_cost", "ClassificationCost", {}),
        ("mask_cost", "CrossEntropyLossCost", {"use_sigmoid": True}),
        ("dice_cost", "DiceCost", {"pred_act": True, "eps": 1.0}),
    ):
        cost = assigner.section(name)
        cost.require("type", kind)
        # One set of weights serves the matching and the loss.
        cost.require("weight", decoder[f"{name.removesuffix('_cost').replace('cls', 'class')}_loss_weight"])
        for field, value in fixed.items():
            cost.require(field, value)
        cost.finish()
    train.ignore("sampler")
    fields = {
        "num_points": train.use_int("num_points", 12544),
        "oversample_ratio": train.use_number("oversample_ratio", 3.0),
        "importance_sample_ratio": train.use_number("importance_sample_ratio", 0.75),
    }
    assigner.finish()
    train.finish()
    return fields


__all__ = ["read_mask2former", "read_matching"]
