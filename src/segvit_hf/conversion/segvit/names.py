"""SegViT's names (https://github.com/zbwxp/SegVit), SegViTv2's, and ours.

Follows mmseg/models/decode_heads/atm_head.py and tpn_atm_head.py of the original and atm_headv2.py of
https://github.com/zbwxp/Dynamic-Token-Pruning, on top of mmsegmentation's ViT or of BEiT.
"""

from collections.abc import Mapping
from typing import Any

import torch

from segvit_hf import SegVitConfig
from segvit_hf.conversion.key_mapping import Rule, drop, rename, size_along, under
from segvit_hf.conversion.mmseg.vit import patch_bias_of
from segvit_hf.conversion.reading.recognition import fits_some
from segvit_hf.conversion.vit_names import BEIT_RULES, MMSEG_BEIT_RULES, MMSEG_VIT_RULES

ATM, SHRUNK, ATM_V2 = "ATMHead", "TPNATMHead (Shrunk)", "ATMHeadV2 (SegViTv2)"
# SegViTv2's layers have nothing that SegViT's have not, and a classifier of two rows: what is neither of the others.
_SELF_ATTENTION = r"decode_head\.decoder_\d+\.layers\.\d+\.(self_attn|norm1)\..*"
HEADS = {SHRUNK: r"decode_head\.atm\..*", ATM: _SELF_ATTENTION, ATM_V2: r"decode_head\..*"}
_SHRUNK_QUERIES, _QUERIES = "decode_head.atm.q.weight", "decode_head.q.weight"

_LOSS_BUFFER = "class weights of the loss, which are built from the configuration"
_NOT_IN_THE_HEAD = "not part of SegViT's head: left over from an auxiliary output that the released code removed"

# What both kinds of decoder layers have (torch's TransformerDecoderLayer).
_LAYER_RULES = (
    rename("self_attn.in_proj_weight", "self_attention.qkv.weight"),
    rename("self_attn.in_proj_bias", "self_attention.qkv.bias"),
    rename("self_attn.out_proj.{rest}", "self_attention.proj.{rest}"),
    rename("linear1.{rest}", "mlp.fc1.{rest}"),
    rename("linear2.{rest}", "mlp.fc2.{rest}"),
    rename("norm{number}.{rest}", "norm{number}.{rest}"),
)
_MASK_ATTENTION_RULES = (
    rename("multihead_attn.q.{rest}", "mask_attention.query.{rest}"),
    rename("multihead_attn.k.{rest}", "mask_attention.key.{rest}"),
    rename("multihead_attn.v.{rest}", "mask_attention.value.{rest}"),
    rename("multihead_attn.proj.{rest}", "mask_attention.proj.{rest}"),
)
_CROSS_ATTENTION_RULES = (
    rename("multihead_attn.in_proj_weight", "cross_attention.qkv.weight"),
    rename("multihead_attn.in_proj_bias", "cross_attention.qkv.bias"),
    rename("multihead_attn.out_proj.{rest}", "cross_attention.proj.{rest}"),
)
_STAGE_RULES = (
    rename("input_proj_{stage+1}.{rest}", "stages.{stage}.input_projection.{rest}"),
    rename("proj_norm_{stage+1}.{rest}", "stages.{stage}.input_norm.{rest}"),
)
_ATM_RULES = (
    rename("q.weight", "class_queries.weight"),
    rename("class_embed.{rest}", "class_head.{rest}"),
    *_STAGE_RULES,
    *under(
        "decoder_{stage+1}.layers.{layer}.", "stages.{stage}.layers.{layer}.", _LAYER_RULES + _MASK_ATTENTION_RULES
    ),
)
_TOKEN_PYRAMID_RULES = (
    rename("q.weight", "token_queries.weight"),
    *_STAGE_RULES,
    *under(
        "decoder_{stage+1}.layers.{layer}.", "stages.{stage}.layers.{layer}.", _LAYER_RULES + _CROSS_ATTENTION_RULES
    ),
)
_HEAD_RULES = (
    drop("decode_head.loss_decode.{rest}", _LOSS_BUFFER),
    drop("decode_head.atm.loss_decode.{rest}", _LOSS_BUFFER),
    drop("decode_head.conv_seg.{rest}", "mmsegmentation's own classifier, which SegViT's head does not use"),
    drop("decode_head.atm.conv_seg.{rest}", "mmsegmentation's own classifier, which SegViT's head does not use"),
)

# Continual training with distillation keeps what it learned from beside the model.
_TEACHER_RULES = (
    drop("decode_head_freeze_{step}.{rest}", "a frozen copy of the head: the teacher of an earlier training step"),
    drop("backbone_freeze_{step}.{rest}", "a frozen copy of the encoder: the teacher of an earlier training step"),
)
_LEFTOVER_RULES = (
    drop("decode_head.conv_0.{rest}", _NOT_IN_THE_HEAD),
    drop("decode_head.conv_1.{rest}", _NOT_IN_THE_HEAD),
    drop("decode_head.syncbn_fc_0.{rest}", _NOT_IN_THE_HEAD),
)


def segvit_rules(config: SegVitConfig) -> tuple[Rule, ...]:
    """Original names -> ours; a ViT's are mmsegmentation's, a BEiT's are those of its own code."""
    encoder = BEIT_RULES if config.use_relative_position_bias else MMSEG_VIT_RULES
    return (*under("backbone.", "encoder.", encoder), *_decoder_rules(config))


def mmseg_beit_rules(config: SegVitConfig) -> tuple[Rule, ...]:
    """The same with the names of mmsegmentation's BEiT."""
    return (*under("backbone.", "encoder.", MMSEG_BEIT_RULES), *_decoder_rules(config))


def _decoder_rules(config: SegVitConfig) -> tuple[Rule, ...]:
    if not config.use_token_pyramid:
        return (*_HEAD_RULES, *_TEACHER_RULES, *under("decode_head.", "decoder.", _ATM_RULES))
    return (
        *_HEAD_RULES,
        *_LEFTOVER_RULES,
        *under("decode_head.atm.", "decoder.atm.", _ATM_RULES),
        *under("decode_head.", "decoder.", _TOKEN_PYRAMID_RULES),
    )


def head_of(config: SegVitConfig) -> str:
    """Which of `HEADS` a configuration has."""
    if config.use_token_pyramid:
        return SHRUNK
    return ATM_V2 if config.shared_class_head else ATM


def read_weights(state_dict: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Fields that SegViTv2's weights decide.

    Its code ran on mmsegmentation's ViTs with and without patch bias, and continual training adds classes to the
    weights that its configuration does not know.
    """
    if any(fits_some(pattern, state_dict) for pattern in (HEADS[SHRUNK], HEADS[ATM])):
        return {}
    num_labels = count_classes(state_dict)
    has_grown = num_labels is not None and any(key.startswith("decode_head_freeze_") for key in state_dict)
    return {**patch_bias_of(state_dict), **({"num_labels": num_labels} if has_grown else {})}


def count_classes(state_dict: Mapping[str, torch.Tensor]) -> int | None:
    """Number of classes of a SegViT checkpoint, read from its class queries; `None` if it has none."""
    # In a Shrunk checkpoint `decode_head.q` holds token queries.
    is_shrunk = any(key.startswith("decode_head.atm.") for key in state_dict)
    queries = state_dict.get(_SHRUNK_QUERIES if is_shrunk else _QUERIES)
    return None if queries is None else size_along(queries, 0)


__all__ = ["HEADS", "count_classes", "head_of", "mmseg_beit_rules", "read_weights", "segvit_rules"]
