"""Segmenter in the layout of mmsegmentation's zoo (`configs/segmenter`).

Its projections after the decoder are linear layers, whose weights are the transposed matrices of the original; its
linear decoder is the 1x1 convolution `conv_seg` of an `FCNHead` without other layers.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from segvit_hf import SegmenterConfig, SegmenterForSemanticSegmentation, SegmenterImageProcessor
from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.key_mapping import Rule, drop, rename, under
from segvit_hf.conversion.mmseg.model import model_fields, sliding_window
from segvit_hf.conversion.mmseg.test_pipeline import original_processor_arguments
from segvit_hf.conversion.mmseg.vit import MMSEG_VIT_RULES, layer_norm_eps, mmseg_vit_configuration
from segvit_hf.conversion.original_fields import OriginalFields
from segvit_hf.conversion.plan import ConversionPlan, build_config, label_arguments
from segvit_hf.models.decoder import LAYER_NORM_EPS

_MASK_RULES: tuple[Rule, ...] = (
    drop("decode_head.conv_seg.{rest}", "mmsegmentation's own classifier, which the mask transformer does not use"),
    rename("decode_head.cls_emb", "decoder.class_embeddings"),
    rename("decode_head.dec_proj.{rest}", "decoder.input_projection.{rest}"),
    rename("decode_head.patch_proj.weight", "decoder.patch_projection"),
    rename("decode_head.classes_proj.weight", "decoder.class_projection"),
    rename("decode_head.decoder_norm.{rest}", "decoder.norm.{rest}"),
    rename("decode_head.mask_norm.{rest}", "decoder.mask_norm.{rest}"),
    *under("decode_head.", "decoder.", (rule for rule in MMSEG_VIT_RULES if rule.original.startswith("layers."))),
)
_LINEAR_RULES: tuple[Rule, ...] = (rename("decode_head.conv_seg.{rest}", "decoder.head.{rest}"),)

_TRANSPOSED = ("decode_head.patch_proj.weight", "decode_head.classes_proj.weight")


def plan_mmseg_conversion(state_dict: Mapping[str, torch.Tensor], original: Mapping[str, Any]) -> ConversionPlan:
    """As `plan_conversion` of `conversion.segmenter`, for `{"model": <mmseg model dict>, "test_pipeline": [...]}`."""
    model = model_fields(original)
    model.require("neck", None, default=None)
    model.require("auxiliary_head", None, [], default=None)
    model.ignore("train_cfg")
    encoder = mmseg_vit_configuration(model.section("backbone"))
    decoder, num_labels = _decoder_fields(model.section("decode_head"), encoder["hidden_size"])
    window = sliding_window(model)
    model.finish()
    config = build_config(
        SegmenterConfig,
        "model",
        **encoder,
        **decoder,
        crop_padded_logits=False,
        sliding_window=window,
        **label_arguments(original, num_labels),
    )
    arguments = {"do_resize": True, **original_processor_arguments(original)}
    is_linear = config.decoder_type == "linear"
    transforms: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {}
    if is_linear:
        transforms["decode_head.conv_seg.weight"] = lambda weight: weight.flatten(1)
    else:
        transforms |= {name: lambda weight: weight.T.contiguous() for name in _TRANSPOSED}
    return ConversionPlan(
        config=config,
        model_class=SegmenterForSemanticSegmentation,
        image_processor=SegmenterImageProcessor(**arguments),
        rules=(*under("backbone.", "encoder.", MMSEG_VIT_RULES), *(_LINEAR_RULES if is_linear else _MASK_RULES)),
        transforms=transforms,
    )


def _decoder_fields(head: OriginalFields, encoder_width: int) -> tuple[dict[str, Any], int]:
    kind = head.require("type", "SegmenterMaskTransformerHead", "FCNHead")
    num_labels = head.use_int("num_classes")
    fields: dict[str, Any] = {"semantic_loss_ignore_index": head.use_int("ignore_index", 255)}
    if kind == "FCNHead":
        fields["decoder_type"] = "linear"
        head.require("num_convs", 0, default=2)
        head.require("concat_input", False, default=True)
        head.require("dropout_ratio", 0, 0.0, default=0.1)
        head.require("channels", encoder_width)
        head.ignore("kernel_size", "dilation", "norm_cfg", "act_cfg")
    else:
        width = head.use_int("embed_dims")
        fields |= {
            "decoder_type": "mask_transformer",
            "decoder_hidden_size": width,
            "decoder_num_layers": head.use_int("num_layers"),
            "decoder_num_attention_heads": head.use_int("num_heads"),
            "decoder_intermediate_size": int(head.use_number("mlp_ratio", 4) * width),
            "decoder_dropout": head.use_number("drop_rate", 0.0),
            "decoder_drop_path_rate": head.use_number("drop_path_rate", 0.1),
        }
        # Ours has one dropout; mmsegmentation's head never sets the two apart.
        head.require("attn_drop_rate", fields["decoder_dropout"], default=0.0)
        if layer_norm_eps(head) != LAYER_NORM_EPS:
            raise ConversionError(f"{head.where}.norm_cfg: only layer norms with eps {LAYER_NORM_EPS} are supported.")
        head.require("act_cfg", {"type": "GELU"}, default={"type": "GELU"})
        head.require("num_fcs", 2, default=2)
        head.require("qkv_bias", True, default=True)
        head.ignore("channels", "dropout_ratio", "init_std")
    head.require("in_channels", encoder_width)
    head.require("out_channels", None, num_labels, default=None)
    head.require("input_transform", None, default=None)
    head.require("align_corners", False, default=False)
    head.require("sampler", None, default=None)
    head.require("threshold", None, default=None)
    # Training only; the loss here is the original's, over the pixels that have a class.
    head.ignore("loss_decode", "in_index", "init_cfg", "conv_cfg")
    head.finish()
    return fields, num_labels


__all__ = ["plan_mmseg_conversion"]
