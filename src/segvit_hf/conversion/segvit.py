"""SegViT v1 (Zhang et al., NeurIPS 2022, https://github.com/zbwxp/SegVit): configuration, image processor, names.

Covers the attention-to-mask head (`ATMHead`) and the Shrunk variant (`vit_shrink` with `TPNATMHead`).
"""

from collections.abc import Mapping
from typing import Any

import torch

from segvit_hf import SegVitConfig, SegVitForSemanticSegmentation, SegVitImageProcessor
from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.key_mapping import Rule, drop, rename, under
from segvit_hf.conversion.mmseg.model import model_fields, sliding_window
from segvit_hf.conversion.mmseg.test_pipeline import original_processor_arguments
from segvit_hf.conversion.mmseg.vit import MMSEG_VIT_RULES, mmseg_vit_configuration
from segvit_hf.conversion.original_fields import OriginalFields
from segvit_hf.conversion.plan import ConversionPlan, build_config, label_arguments

_ATM_QUERIES = "decode_head.q.weight"
_SHRUNK_ATM_QUERIES = "decode_head.atm.q.weight"
# torch's MultiheadAttention and the layers' own dropouts, which the original's configuration cannot change.
_DECODER_DROPOUT = 0.1
# SetCriterion's eos_coef, which the original's configuration cannot change either.
_NO_OBJECT_WEIGHT = 0.1

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

ATM_RULES: tuple[Rule, ...] = (*_COMMON_RULES, *under("decode_head.", "decoder.", _ATM_RULES))
SHRUNK_RULES: tuple[Rule, ...] = (
    *_COMMON_RULES,
    drop("decode_head.conv_0.{rest}", _NOT_IN_THE_HEAD),
    drop("decode_head.conv_1.{rest}", _NOT_IN_THE_HEAD),
    drop("decode_head.syncbn_fc_0.{rest}", _NOT_IN_THE_HEAD),
    *under("decode_head.atm.", "decoder.atm.", _ATM_RULES),
    *under("decode_head.", "decoder.", _TOKEN_PYRAMID_RULES),
)


def plan_conversion(state_dict: Mapping[str, torch.Tensor], original: Mapping[str, Any]) -> ConversionPlan:
    """Args:
        state_dict: Original names to tensors; read for the kind of head and the number of classes.
        original: `{"model": <mmseg model dict>, "test_pipeline": [...]}`; optional keys `classes`, `palette` and
            `reduce_zero_label` (whether label 0 of the data set's maps means "no class").

    Raises:
        ConversionError: If the configuration is incomplete, unsupported or not that of the weights.
    """
    config = segvit_config(original)
    _check_head(config, state_dict)
    return ConversionPlan(
        config=config,
        model_class=SegVitForSemanticSegmentation,
        image_processor=SegVitImageProcessor(**original_processor_arguments(original)),
        rules=SHRUNK_RULES if config.use_token_pyramid else ATM_RULES,
    )


def segvit_config(original: Mapping[str, Any]) -> SegVitConfig:
    """The configuration that describes an original one.

    Args:
        original: As for `plan_conversion`; only `model`, `classes` and `palette` are read.

    Raises:
        ConversionError: If a field of `model` is missing, unknown or not supported, naming it.
    """
    model = model_fields(original)
    model.require("neck", None, default=None)
    model.require("auxiliary_head", None, [], default=None)
    model.ignore("train_cfg")
    encoder = mmseg_vit_configuration(model.section("backbone"))
    # SegViT's heads take every patch grid for a square, so mmsegmentation's rule (resize only when the number of
    # patches differs) never mattered in it; with other shapes, which ours accepts, it would give the wrong embeddings.
    encoder["position_embedding_resize_by"] = "grid"
    decoder, num_labels = _decoder_configuration(model.section("decode_head"), encoder["hidden_size"])
    window = sliding_window(model)
    model.finish()
    labels = label_arguments(original, num_labels)
    return build_config(SegVitConfig, "model", **encoder, **decoder, sliding_window=window, **labels)


def _decoder_configuration(head: OriginalFields, encoder_width: int) -> tuple[dict[str, Any], int]:
    is_shrunk = head.require("type", "ATMHead", "TPNATMHead") == "TPNATMHead"
    num_labels = head.use_int("num_classes")
    loss = head.section("loss_decode")
    loss.require("type", "ATMLoss")
    loss.require("num_classes", num_labels)
    loss.require("use_point", False, default=False)
    loss_weight = loss.use_number("loss_weight", 1.0)
    configuration = {
        "decoder_hidden_size": head.use_int("embed_dims", 768),
        "decoder_num_layers": head.use_int("num_layers", 3),
        "decoder_num_attention_heads": head.use_int("num_heads", 8),
        "decoder_dropout": _DECODER_DROPOUT,
        "num_decoder_stages": head.use_int("use_stages", 3),
        "use_input_projection": head.use_bool("use_proj", True),
        "use_token_pyramid": is_shrunk,
        "mask_size": head.use_int("img_size"),
        "class_loss_weight": loss.use_number("cls_weight", 1.0) * loss_weight,
        "mask_loss_weight": loss.use_number("mask_weight", 20.0) * loss_weight,
        "dice_loss_weight": loss.use_number("dice_weight", 1.0) * loss_weight,
        "no_object_weight": _NO_OBJECT_WEIGHT,
        "num_supervised_outputs": loss.use_int("dec_layers"),
        "semantic_loss_ignore_index": head.use_int("ignore_index", 255),
    }
    loss.finish()
    if is_shrunk:
        configuration["token_pyramid_stride"] = head.use_int("shrink_ratio", 16)
    else:
        head.ignore("shrink_ratio")  # an argument that ATMHead does not use
        head.require("CE_loss", False, default=False)
        # Only acts with a backbone that drops patches in training; the weights and the outputs are the same.
        head.ignore("crop_train")
    head.require("in_channels", encoder_width)
    head.require("out_channels", None, num_labels, default=None)
    head.require("input_transform", None, default=None)
    head.require("align_corners", False, default=False)
    head.require("norm_cfg", None, default=None)
    head.require("conv_cfg", None, default=None)
    head.require("act_cfg", {"type": "ReLU"}, default={"type": "ReLU"})
    head.require("sampler", None, default=None)
    head.require("threshold", None, default=None)
    # mmsegmentation's base class takes these; SegViT's heads never read them.
    head.ignore("channels", "dropout_ratio", "in_index", "init_cfg")
    head.finish()
    return configuration, num_labels


def _check_head(config: SegVitConfig, state_dict: Mapping[str, torch.Tensor]) -> None:
    has_head = any(key.startswith("decode_head.") for key in state_dict)
    is_shrunk_file = _is_shrunk(state_dict)
    if has_head and is_shrunk_file != config.use_token_pyramid:
        kinds = {True: "Shrunk (TPNATMHead)", False: "not Shrunk (ATMHead)"}
        raise ConversionError(
            f"The configuration is {kinds[config.use_token_pyramid]}, the weights are {kinds[is_shrunk_file]}."
        )
    found = count_classes(state_dict)
    if found is not None and found != config.num_labels:
        raise ConversionError(
            f"The configuration has {config.num_labels} classes (model.decode_head.num_classes), the weights have "
            f"{found} (rows of {_SHRUNK_ATM_QUERIES if is_shrunk_file else _ATM_QUERIES})."
        )


def _is_shrunk(state_dict: Mapping[str, torch.Tensor]) -> bool:
    return any(key.startswith("decode_head.atm.") for key in state_dict)


def count_classes(state_dict: Mapping[str, torch.Tensor]) -> int | None:
    """Number of classes of a SegViT checkpoint, read from its class queries; `None` if it has none."""
    # In a Shrunk checkpoint `decode_head.q` holds token queries.
    queries = state_dict.get(_SHRUNK_ATM_QUERIES if _is_shrunk(state_dict) else _ATM_QUERIES)
    return None if queries is None else queries.shape[0]


__all__ = ["ATM_RULES", "SHRUNK_RULES", "count_classes", "plan_conversion", "segvit_config"]
