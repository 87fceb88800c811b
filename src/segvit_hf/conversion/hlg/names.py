"""HLG's names (https://github.com/fudan-zvg/SETR) and ours, and what its weights say about themselves.

Follows mmseg/models/backbones/hlg.py, decode_heads/hlg_up_head.py, hlg-classification/models/hlg.py and
hlg-detection/mmdet/models/backbones/hlg.py of the original.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch

from segvit_hf.conversion.key_mapping import Rule, drop, rename, size_along, under
from segvit_hf.encoders.configuration_hlg import NUM_STAGES
from segvit_hf.models.hlg.configuration_hlg import BOX_SIZE, HlgConfig

SEGMENTATION, CLASSIFICATION, DETECTION = "segmentation", "classification", "detection"
HEADS = {SEGMENTATION: r"decode_head\..*", DETECTION: r"bbox_head\..*", CLASSIFICATION: r"head\..*"}
TASK_MODELS = {CLASSIFICATION: "HlgForImageClassification", DETECTION: "HlgForObjectDetection"}
_CLASSIFIERS = ("head.weight", "decode_head.conv_seg.weight")
_SCORES, _OFFSETS = "bbox_head.retina_cls.weight", "bbox_head.retina_reg.weight"

_CONV_NORM = (rename("0.{rest}", "convolution.{rest}"), rename("1.{rest}", "norm.{rest}"))
_POSITION_BIAS = (
    rename("pos_proj.{rest}", "projection.{rest}"),
    rename("pos{number+1}.0.{rest}", "norms.{number}.{rest}"),
    rename("pos{number+1}.2.{rest}", "layers.{number}.{rest}"),
)
# Convolution, norm and activation are counted: three places for each of its convolutions.
_SMOOTHING = tuple(
    rename(f"{3 * index + part}.{{rest}}", f"convolutions.{index}.{name}.{{rest}}")
    for index in range(3)
    for part, name in enumerate(("convolution", "norm"))
)
_LAYER_RULES: tuple[Rule, ...] = (
    *under("down_proj.proj.", "shortcut.", _CONV_NORM),
    rename("mlp.fc1.{rest}", "mlp.expansion.convolution.{rest}"),
    rename("mlp.norm1.{rest}", "mlp.expansion.norm.{rest}"),
    rename("mlp.fc2.{rest}", "mlp.depthwise.convolution.{rest}"),
    rename("mlp.norm2.{rest}", "mlp.depthwise.norm.{rest}"),
    rename("mlp.fc3.{rest}", "mlp.projection.{rest}"),
    rename("norm2.{rest}", "mlp_norm.{rest}"),
    rename("norm0.{rest}", "attention.local_norm.{rest}"),
    rename("norm1.{rest}", "attention.local_output_norm.{rest}"),
    rename("h0_norm.{rest}", "attention.window_norm.{rest}"),
    rename("aux_q.{rest}", "attention.query_convolution.{rest}"),
    rename("q.{rest}", "attention.query.{rest}"),
    rename("k.{rest}", "attention.key.{rest}"),
    rename("v.{rest}", "attention.value.{rest}"),
    *under("spatial_smooth.0.", "attention.smoothing.", _SMOOTHING),
    *under("pos_local.", "attention.local_bias.", _POSITION_BIAS),
    *under("pos_global.", "attention.global_bias.", _POSITION_BIAS),
    rename("global_attn.proj.{rest}", "attention.global_attention.proj.{rest}"),
)
_LAST = f"block{NUM_STAGES}.{{layer}}."
ENCODER_RULES: tuple[Rule, ...] = (
    *under("s0_conv.{index}.", "stem.{index}.", _CONV_NORM),
    rename(f"{_LAST}norm1.{{rest}}", f"stages.{NUM_STAGES - 1}.{{layer}}.attention.norm.{{rest}}"),
    drop(f"{_LAST}spatial_smooth.{{rest}}", "the last stage has no windows, and its forward never uses this"),
    *under("block{stage+1}.{layer}.", "stages.{stage}.{layer}.", _LAYER_RULES),
    rename("norm.{rest}", f"norms.{NUM_STAGES - 1}.{{rest}}"),
    rename("norm_out_{stage}.{rest}", "norms.{stage}.{rest}"),
)
_DECODER_LAYER_RULES: tuple[Rule, ...] = (
    rename("attn.q.{rest}", "attention.query.{rest}"),
    rename("attn.kv.{rest}", "attention.key_value.{rest}"),
    rename("attn.norm.{rest}", "attention.window_norm.{rest}"),
    rename("attn.proj.{rest}", "attention.proj.{rest}"),
    *under("attn.pos.", "attention.position_bias.", _POSITION_BIAS),
    rename("norm0.{rest}", "local_norm.{rest}"),
    rename("norm1.{rest}", "global_norm.{rest}"),
    rename("norm2.{rest}", "mlp_norm.{rest}"),
    rename("mlp.{rest}", "mlp.{rest}"),
    *under("spatial_smooth.0.", "smoothing.", _SMOOTHING),
)
_HEAD_RULES: dict[str, tuple[Rule, ...]] = {
    SEGMENTATION: (
        rename("decode_head.conv_0.{rest}", "decoder.fusion.convolution.{rest}"),
        rename("decode_head.syncbn_fc_0.{rest}", "decoder.fusion.norm.{rest}"),
        *under("decode_head.decode_transformer.{layer}.", "decoder.layers.{layer}.", _DECODER_LAYER_RULES),
        rename("decode_head.conv_seg.{rest}", "decoder.classifier.{rest}"),
        rename("auxiliary_head.convs.{number}.conv.{rest}", "auxiliary_head.convolutions.{number}.convolution.{rest}"),
        rename("auxiliary_head.convs.{number}.bn.{rest}", "auxiliary_head.convolutions.{number}.norm.{rest}"),
        rename("auxiliary_head.conv_seg.{rest}", "auxiliary_head.classifier.{rest}"),
    ),
    CLASSIFICATION: (rename("head.{rest}", "classifier.{rest}"),),
    DETECTION: (
        rename("neck.lateral_convs.{level}.conv.{rest}", "pyramid.inner_blocks.{level}.0.{rest}"),
        # The last two of five levels are made by convolutions of the encoder's last map.
        *(
            rename(f"neck.fpn_convs.{3 + index}.conv.{{rest}}", f"pyramid.extra_blocks.convolutions.{index}.{{rest}}")
            for index in range(2)
        ),
        rename("neck.fpn_convs.{level}.conv.{rest}", "pyramid.layer_blocks.{level}.0.{rest}"),
        rename("bbox_head.cls_convs.{index}.conv.{rest}", "detector.classification.convolutions.{index}.0.{rest}"),
        rename("bbox_head.reg_convs.{index}.conv.{rest}", "detector.regression.convolutions.{index}.0.{rest}"),
        rename("bbox_head.retina_cls.{rest}", "detector.classification.output.{rest}"),
        rename("bbox_head.retina_reg.{rest}", "detector.regression.output.{rest}"),
    ),
}


def task_of(config: HlgConfig) -> str:
    """Which of `HEADS` a configuration has: what its `architectures` name, by default segmentation."""
    names = config.architectures or []
    return next((task for task, model in TASK_MODELS.items() if model in names), SEGMENTATION)


def hlg_rules(config: HlgConfig) -> tuple[Rule, ...]:
    """Original names -> ours."""
    task = task_of(config)
    prefix = "" if task == CLASSIFICATION else "backbone."
    return (*_HEAD_RULES[task], *under(prefix, "encoder.", ENCODER_RULES))


def count_classes(state_dict: Mapping[str, torch.Tensor]) -> int | None:
    """Number of classes of an HLG checkpoint of any task; `None` if it has no classifier."""
    if _SCORES in state_dict and _OFFSETS in state_dict:
        scores, offsets = (size_along(state_dict[name], 0) for name in (_SCORES, _OFFSETS))
        # As many numbers per anchor as there are classes, and four.
        return None if not scores or not offsets else BOX_SIZE * scores // offsets
    classifier = next((state_dict[name] for name in _CLASSIFIERS if name in state_dict), None)
    return None if classifier is None else size_along(classifier, 0)


def read_weights(state_dict: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Which of the readings of HLG's classification code a file is of, as fields of `HlgConfig`.

    Its depths and widths are not all those of the published configurations. Weights of other tasks say nothing: their
    configurations run as they are.
    """
    if not any(re.fullmatch(r"block1\.\d+\..*", key) for key in state_dict):
        return {}
    fields: dict[str, Any] = {"depths": [_depth(state_dict, stage) for stage in range(NUM_STAGES)]}
    widths = [_mlp_widths(state_dict, stage) for stage in range(NUM_STAGES)]
    if widths[0] is not None:
        before, hidden, _ = widths[0]
        ratio = fields["mlp_ratio"] = hidden / before
        # The readings differ in the first layer of a stage that is wider than the one before.
        told = [stage for stage in widths if stage is not None and stage[0] != stage[2]]
        if told:
            _, hidden, after = told[0]
            fields["mlp_width_of"] = "output" if hidden == ratio * after else "input"
    return fields


def _mlp_widths(state_dict: Mapping[str, torch.Tensor], stage: int) -> tuple[int, int, int] | None:
    """Channels before, in and after the feed-forward part of a stage's first layer; `None` if that cannot be told."""
    first, last = (state_dict.get(f"block{stage + 1}.0.mlp.{name}.weight") for name in ("fc1", "fc3"))
    if first is None or last is None or first.ndim < 2 or last.ndim < 1 or not first.shape[1]:
        return None
    return first.shape[1], first.shape[0], last.shape[0]


def _depth(state_dict: Mapping[str, torch.Tensor], stage: int) -> int:
    """One more than the highest number of a layer, so that a layer which is lacking is missed."""
    found = (re.fullmatch(rf"block{stage + 1}\.(\d{{1,3}})\..*", key) for key in state_dict)
    return max((int(match[1]) + 1 for match in found if match), default=0)


__all__ = ["ENCODER_RULES", "HEADS", "TASK_MODELS", "count_classes", "hlg_rules", "read_weights", "task_of"]
