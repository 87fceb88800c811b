"""SETR's names and ours: those of its authors (https://github.com/fudan-zvg/SETR) and of mmsegmentation.

Follows the original's backbones/vit.py and vit_mla.py, decode_heads/vit_up_head.py and vit_mla_head.py, and
mmsegmentation's necks/mla_neck.py, decode_heads/setr_up_head.py and setr_mla_head.py.
"""

from collections.abc import Mapping

import torch

from segvit_hf.conversion.key_mapping import Rule, drop, rename, size_along, under
from segvit_hf.conversion.vit_names import MMSEG_VIT_RULES, TIMM_VIT_RULES
from segvit_hf.models.setr.configuration_setr import SetrConfig

MLA, UP = "MLA", "Naive or PUP"
HEADS = {MLA: r"(backbone|neck)\.mla\..*", UP: r"decode_head\.norm\..*"}
_CLASSIFIER = "decode_head.conv_seg.weight"

_UNUSED = "mmsegmentation's own classifier, which SETR's heads do not use"
_CLASSIFIERS_NOT_USED = (
    drop("decode_head.conv_seg.{rest}", _UNUSED),
    drop("auxiliary_head.{head}.conv_seg.{rest}", _UNUSED),
)
_UP_HEAD_RULES = (
    rename("norm.{rest}", "norm.{rest}"),
    rename("conv_{index}.{rest}", "convolutions.{index}.convolution.{rest}"),
    rename("syncbn_fc_{index}.{rest}", "convolutions.{index}.norm.{rest}"),
)
# The original counts MLA's levels from 2, as feature pyramids do.
_MLA_RULES = (
    rename("backbone.norm_{level}.{rest}", "aggregation.norms.{level}.{rest}"),
    rename("backbone.mla.mla_p{level+2}_1x1.0.{rest}", "aggregation.projections.{level}.convolution.{rest}"),
    rename("backbone.mla.mla_p{level+2}_1x1.1.{rest}", "aggregation.projections.{level}.norm.{rest}"),
    rename("backbone.mla.mla_p{level+2}.0.{rest}", "aggregation.convolutions.{level}.convolution.{rest}"),
    rename("backbone.mla.mla_p{level+2}.1.{rest}", "aggregation.convolutions.{level}.norm.{rest}"),
    rename("decode_head.mlahead.head{level+2}.0.{rest}", "decoder.levels.{level}.0.convolution.{rest}"),
    rename("decode_head.mlahead.head{level+2}.1.{rest}", "decoder.levels.{level}.0.norm.{rest}"),
    rename("decode_head.mlahead.head{level+2}.3.{rest}", "decoder.levels.{level}.1.convolution.{rest}"),
    rename("decode_head.mlahead.head{level+2}.4.{rest}", "decoder.levels.{level}.1.norm.{rest}"),
    rename("decode_head.cls.{rest}", "decoder.classifier.{rest}"),
    rename("auxiliary_head.{head}.aux.{rest}", "auxiliary_heads.{head}.classifier.{rest}"),
)

_CONV_MODULE_RULES = (
    rename("conv.{rest}", "convolution.{rest}"),
    rename("bn.{rest}", "norm.{rest}"),
)
_MMSEG_UP_HEAD_RULES = (
    rename("norm.{rest}", "norm.{rest}"),
    *under("up_convs.{index}.0.", "convolutions.{index}.", _CONV_MODULE_RULES),
    rename("conv_seg.{rest}", "classifier.{rest}"),
)
_MMSEG_ENCODER_RULES = under("backbone.", "encoder.", MMSEG_VIT_RULES)
_MMSEG_UP_RULES: tuple[Rule, ...] = (
    *under("decode_head.", "decoder.", _MMSEG_UP_HEAD_RULES),
    *under("auxiliary_head.{head}.", "auxiliary_heads.{head}.", _MMSEG_UP_HEAD_RULES),
    *_MMSEG_ENCODER_RULES,
)
_MMSEG_MLA_RULES: tuple[Rule, ...] = (
    rename("neck.norm.{level}.{rest}", "aggregation.norms.{level}.{rest}"),
    *under("neck.mla.channel_proj.{level}.", "aggregation.projections.{level}.", _CONV_MODULE_RULES),
    *under("neck.mla.feat_extract.{level}.", "aggregation.convolutions.{level}.", _CONV_MODULE_RULES),
    *under("decode_head.up_convs.{level}.{index}.", "decoder.levels.{level}.{index}.", _CONV_MODULE_RULES),
    rename("decode_head.conv_seg.{rest}", "decoder.classifier.{rest}"),
    rename("auxiliary_head.{head}.conv_seg.{rest}", "auxiliary_heads.{head}.classifier.{rest}"),
    *_MMSEG_ENCODER_RULES,
)


def original_rules(config: SetrConfig) -> tuple[Rule, ...]:
    """The authors' names -> ours."""
    encoder = under("backbone.", "encoder.", TIMM_VIT_RULES)
    if config.decoder_type == "mla":
        return (*_CLASSIFIERS_NOT_USED, *_MLA_RULES, *encoder)
    # The last convolution of a head is its classifier.
    return (
        *_CLASSIFIERS_NOT_USED,
        rename(f"decode_head.conv_{config.decoder_num_convolutions}.{{rest}}", "decoder.classifier.{rest}"),
        rename(
            f"auxiliary_head.{{head}}.conv_{config.auxiliary_num_convolutions}.{{rest}}",
            "auxiliary_heads.{head}.classifier.{rest}",
        ),
        *under("decode_head.", "decoder.", _UP_HEAD_RULES),
        *under("auxiliary_head.{head}.", "auxiliary_heads.{head}.", _UP_HEAD_RULES),
        *encoder,
    )


def mmseg_rules(config: SetrConfig) -> tuple[Rule, ...]:
    """The names of mmsegmentation -> ours."""
    return _MMSEG_MLA_RULES if config.decoder_type == "mla" else _MMSEG_UP_RULES


def head_of(config: SetrConfig) -> str:
    """Which of `HEADS` a configuration has."""
    return MLA if config.decoder_type == "mla" else UP


def count_classes(state_dict: Mapping[str, torch.Tensor]) -> int | None:
    """Number of classes of a SETR checkpoint of either naming; `None` if it has no classifier."""
    classifier = state_dict.get(_CLASSIFIER)
    return None if classifier is None else size_along(classifier, 0)


__all__ = ["HEADS", "count_classes", "head_of", "mmseg_rules", "original_rules"]
