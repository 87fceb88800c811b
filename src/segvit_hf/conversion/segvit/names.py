"""SegViT's names (https://github.com/zbwxp/SegVit) and ours.

Follows mmseg/models/decode_heads/atm_head.py and tpn_atm_head.py of the original, on top of mmsegmentation's ViT.
"""

from collections.abc import Mapping

import torch

from segvit_hf import SegVitConfig
from segvit_hf.conversion.key_mapping import Rule, drop, rename, size_along, under
from segvit_hf.conversion.vit_names import MMSEG_VIT_RULES

ATM, SHRUNK = "ATMHead", "TPNATMHead (Shrunk)"
# Any name of the head's tells ATMHead, since those of the Shrunk variant are asked first.
HEADS = {SHRUNK: r"decode_head\.atm\..*", ATM: r"decode_head\..*"}
_QUERIES = {SHRUNK: "decode_head.atm.q.weight", ATM: "decode_head.q.weight"}

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
_COMMON_RULES = (
    *under("backbone.", "encoder.", MMSEG_VIT_RULES),
    drop("decode_head.loss_decode.{rest}", _LOSS_BUFFER),
    drop("decode_head.atm.loss_decode.{rest}", _LOSS_BUFFER),
    drop("decode_head.conv_seg.{rest}", "mmsegmentation's own classifier, which SegViT's head does not use"),
    drop("decode_head.atm.conv_seg.{rest}", "mmsegmentation's own classifier, which SegViT's head does not use"),
)

_LEFTOVER_RULES = (
    drop("decode_head.conv_0.{rest}", _NOT_IN_THE_HEAD),
    drop("decode_head.conv_1.{rest}", _NOT_IN_THE_HEAD),
    drop("decode_head.syncbn_fc_0.{rest}", _NOT_IN_THE_HEAD),
)


def segvit_rules(config: SegVitConfig) -> tuple[Rule, ...]:
    """Original names -> ours."""
    if not config.use_token_pyramid:
        return (*_COMMON_RULES, *under("decode_head.", "decoder.", _ATM_RULES))
    return (
        *_COMMON_RULES,
        *_LEFTOVER_RULES,
        *under("decode_head.atm.", "decoder.atm.", _ATM_RULES),
        *under("decode_head.", "decoder.", _TOKEN_PYRAMID_RULES),
    )


def head_of(config: SegVitConfig) -> str:
    """Which of `HEADS` a configuration has."""
    return SHRUNK if config.use_token_pyramid else ATM


def count_classes(state_dict: Mapping[str, torch.Tensor]) -> int | None:
    """Number of classes of a SegViT checkpoint, read from its class queries; `None` if it has none."""
    # In a Shrunk checkpoint `decode_head.q` holds token queries.
    is_shrunk = any(key.startswith("decode_head.atm.") for key in state_dict)
    queries = state_dict.get(_QUERIES[SHRUNK if is_shrunk else ATM])
    return None if queries is None else size_along(queries, 0)


__all__ = ["HEADS", "count_classes", "head_of", "segvit_rules"]
