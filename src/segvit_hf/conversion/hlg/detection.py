"""Reads the detectors of HLG: mmdetection's dictionaries with RetinaNet's parts."""

from typing import Any

from segvit_hf.conversion.hlg.encoder import read_encoder
from segvit_hf.conversion.original_fields import OriginalFields
from segvit_hf.models.hlg.retinanet import FIRST_MAP, PYRAMID_STRIDES


def read_detection_model(model: OriginalFields, *, default_eps: float) -> dict[str, Any]:
    """Fields of `HlgConfig`, `num_labels` among them.

    Args:
        model: The detector's dictionary.
        default_eps: Epsilon of the layer norms where the backbone does not say.

    Raises:
        ConversionError: If a field is missing, unknown or not supported, naming it.
    """
    model.require("type", "RetinaNet")
    backbone = model.section("backbone")
    fields = read_encoder(backbone, default_eps=default_eps)
    backbone.ignore("num_classes")
    backbone.finish()
    fields |= _pyramid_fields(model.section("neck"), fields["hidden_sizes"])
    fields |= _head_fields(model.section("bbox_head"), fields["pyramid_hidden_size"])
    if model.use("train_cfg", None) is not None:
        fields |= _matching_fields(model.section("train_cfg"))
    # How boxes are chosen is an argument of the post-processing, whose defaults are these.
    if model.use("test_cfg", None) is not None:
        _check_test(model.section("test_cfg"))
    model.ignore("pretrained", "init_cfg")
    model.finish()
    return fields


def _pyramid_fields(neck: OriginalFields, widths: list[int]) -> dict[str, Any]:
    neck.require("type", "FPN")
    neck.require("in_channels", widths)
    neck.require("start_level", FIRST_MAP)
    neck.require("end_level", -1, default=-1)
    neck.require("num_outs", len(PYRAMID_STRIDES))
    neck.require("add_extra_convs", "on_input")
    neck.require("relu_before_extra_convs", False, default=False)
    neck.require("no_norm_on_lateral", False, default=False)
    for name in ("conv_cfg", "norm_cfg", "act_cfg"):
        neck.require(name, None, default=None)
    neck.require("upsample_cfg", {"mode": "nearest"}, default={"mode": "nearest"})
    neck.ignore("init_cfg")
    width = neck.use_int("out_channels")
    neck.finish()
    return {"pyramid_hidden_size": width}


def _head_fields(head: OriginalFields, width: int) -> dict[str, Any]:
    head.require("type", "RetinaHead")
    head.require("in_channels", width)
    head.require("feat_channels", width, default=256)
    head.require("reg_decoded_bbox", False, default=False)
    for name in ("conv_cfg", "norm_cfg"):
        head.require(name, None, default=None)
    coder = head.section("bbox_coder")
    coder.require("type", "DeltaXYWHBBoxCoder")
    coder.require("target_means", [0.0] * 4, default=[0.0] * 4)
    coder.require("target_stds", [1.0] * 4, default=[1.0] * 4)
    coder.finish()
    box_loss = head.section("loss_bbox")
    box_loss.require("type", "L1Loss")
    head.ignore("init_cfg")
    fields = {
        "num_labels": head.use_int("num_classes"),
        "detector_num_convolutions": head.use_layers("stacked_convs", 4),
        "box_loss_weight": box_loss.use_number("loss_weight", 1.0),
        **_anchor_fields(head.section("anchor_generator")),
        **_focal_loss_fields(head.section("loss_cls")),
    }
    box_loss.finish()
    head.finish()
    return fields


def _anchor_fields(anchors: OriginalFields) -> dict[str, Any]:
    anchors.require("type", "AnchorGenerator")
    anchors.require("strides", list(PYRAMID_STRIDES))
    ratios = anchors.use("ratios")
    fields = {
        "anchor_base_scale": anchors.use_ratio("octave_base_scale"),
        "anchor_scales_per_octave": anchors.use_int("scales_per_octave", maximum=100),
        "anchor_ratios": [float(ratio) for ratio in ratios],
    }
    anchors.finish()
    return fields


def _focal_loss_fields(loss: OriginalFields) -> dict[str, Any]:
    loss.require("type", "FocalLoss")
    loss.require("use_sigmoid", True, default=True)
    loss.require("loss_weight", 1.0, default=1.0)
    fields = {
        "focal_loss_alpha": loss.use_number("alpha", 0.25),
        "focal_loss_gamma": loss.use_number("gamma", 2.0),
    }
    loss.finish()
    return fields


def _matching_fields(train: OriginalFields) -> dict[str, Any]:
    assigner = train.section("assigner")
    assigner.require("type", "MaxIoUAssigner")
    assigner.require("min_pos_iou", 0)
    assigner.require("ignore_iof_thr", -1, default=-1)
    fields = {
        "positive_overlap": assigner.use_number("pos_iou_thr"),
        "negative_overlap": assigner.use_number("neg_iou_thr"),
    }
    assigner.finish()
    train.require("allowed_border", -1, default=-1)
    train.require("pos_weight", -1, default=-1)
    train.ignore("debug")
    train.finish()
    return fields


def _check_test(test: OriginalFields) -> None:
    test.require("score_thr", 0.05)
    test.require("nms", {"type": "nms", "iou_threshold": 0.5})
    test.require("max_per_img", 100)
    test.require("min_bbox_size", 0, default=0)
    test.ignore("nms_pre")
    test.finish()


__all__ = ["read_detection_model"]
