"""Reads Segmenter's configurations in mmsegmentation's zoo.

Follows mmsegmentation 0.x's configs/segmenter/ and models/decode_heads/segmenter_mask_head.py and fcn_head.py. There a
linear decoder is the 1x1 convolution `conv_seg` of an `FCNHead` without other layers.
"""

from collections.abc import Mapping
from typing import Any

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.labels import label_fields
from segvit_hf.conversion.mmseg.image_processor import original_processor_arguments
from segvit_hf.conversion.mmseg.model import model_fields, require_plain_head, sliding_window
from segvit_hf.conversion.mmseg.vit import layer_norm_eps, mmseg_vit_configuration
from segvit_hf.conversion.original_fields import OriginalFields
from segvit_hf.models.decoder import LAYER_NORM_EPS


def read_mmseg_config(original: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `SegmenterConfig` for `{"model": <mmseg model dict>, ...}`."""
    model = model_fields(original)
    model.require("neck", None, default=None)
    model.require("auxiliary_head", None, [], default=None)
    model.ignore("train_cfg")
    encoder = mmseg_vit_configuration(model.section("backbone"))
    decoder, num_labels = _decoder_fields(model.section("decode_head"), encoder["hidden_size"])
    window = sliding_window(model)
    model.finish()
    return {
        **encoder,
        **decoder,
        "crop_padded_logits": False,
        "sliding_window": window,
        **label_fields(original, num_labels),
    }


def read_mmseg_image_processor(original: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `SegmenterImageProcessor` for `{"test_pipeline": [...], ...}`."""
    return {"do_resize": True, **original_processor_arguments(original)}


def _decoder_fields(head: OriginalFields, encoder_width: int) -> tuple[dict[str, Any], int]:
    kind = head.require("type", "SegmenterMaskTransformerHead", "FCNHead")
    num_labels = head.use_int("num_classes")
    fields = {"semantic_loss_ignore_index": head.use_index("ignore_index", 255)}
    if kind == "FCNHead":
        fields |= _linear_fields(head, encoder_width, num_labels)
    else:
        fields |= _mask_transformer_fields(head, num_labels)
    head.require("in_channels", encoder_width)
    # Training only; the loss here is the original's, over the pixels that have a class.
    head.ignore("loss_decode", "in_index")
    head.finish()
    return fields, num_labels


def _linear_fields(head: OriginalFields, encoder_width: int, num_labels: int) -> dict[str, Any]:
    head.require("num_convs", 0, default=2)
    head.require("concat_input", False, default=True)
    head.require("dropout_ratio", 0, 0.0, default=0.1)
    head.require("channels", encoder_width)
    # The rest is of convolutions that are not there.
    require_plain_head(head, num_labels, unused=("act_cfg", "conv_cfg"))
    head.ignore("kernel_size", "dilation", "norm_cfg")
    return {"decoder_type": "linear"}


def _mask_transformer_fields(head: OriginalFields, num_labels: int) -> dict[str, Any]:
    require_plain_head(head, num_labels, act_cfg={"type": "GELU"}, unused=("conv_cfg",))
    eps = layer_norm_eps(head)
    if eps != LAYER_NORM_EPS:
        raise ConversionError(f"{head.where}.norm_cfg: expected a layer norm with eps {LAYER_NORM_EPS}, found {eps}.")
    head.require("num_fcs", 2, default=2)
    head.require("qkv_bias", True, default=True)
    head.ignore("channels", "dropout_ratio", "init_std")
    width, dropout = head.use_int("embed_dims"), head.use_rate("drop_rate", 0.0)
    # Ours has one dropout; mmsegmentation's head never sets the two apart.
    head.require("attn_drop_rate", dropout, default=0.0)
    return {
        "decoder_type": "mask_transformer",
        "decoder_hidden_size": width,
        "decoder_num_layers": head.use_layers("num_layers"),
        "decoder_num_attention_heads": head.use_int("num_heads"),
        "decoder_intermediate_size": int(head.use_ratio("mlp_ratio", 4) * width),
        "decoder_dropout": dropout,
        "decoder_drop_path_rate": head.use_rate("drop_path_rate", 0.1),
    }


__all__ = ["read_mmseg_config", "read_mmseg_image_processor"]
