"""Reads the configurations of SETR's authors (https://github.com/fudan-zvg/SETR).

Follows the original's configs/SETR/, mmseg/models/backbones/vit.py and vit_mla.py, decode_heads/vit_up_head.py,
vit_mla_head.py and vit_mla_auxi_head.py: VisionTransformer with VisionTransformerUpHead (Naive, PUP) and VIT_MLA with
VIT_MLAHead and VIT_MLA_AUXIHead, for ViT and DeiT (whose distillation token the original never uses).
"""

from collections.abc import Sequence
from typing import Any

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.mmseg.model import require_batch_norm, require_plain_head, same_for_all
from segvit_hf.conversion.original_fields import OriginalFields
from segvit_hf.conversion.setr.losses import loss_fields

# Written out in resolved configurations; not a setting of the original's configuration files.
_LAYER_NORM = "LayerNorm(eps=1e-06)"
_LAYER_NORM_EPS = 1e-6
# Width of VisionTransformerUpHead, which the original's configuration cannot change.
_UP_HEAD_WIDTH = 256
# VisionTransformerUpHead's (num_conv, num_upsampe_layer) -> convolutions before the classifier, upsampling after each.
_UP_HEADS = {(2, 1): (1, 1), (2, 2): (1, 4), (4, 4): (4, 2)}


def read_original_model(model: OriginalFields) -> dict[str, Any]:
    """Fields of `SetrConfig`, except `sliding_window`, for a model dictionary of the original.

    Raises:
        ConversionError: If a field is missing, unknown or not supported, naming it.
    """
    model.require("neck", None, default=None)
    backbone = model.section("backbone")
    is_mla = backbone.require("type", "VisionTransformer", "VIT_MLA") == "VIT_MLA"
    fields = _encoder_fields(backbone)
    if is_mla:
        require_batch_norm(backbone)
        fields["drop_prefix_tokens"] = True
        fields["decoder_hidden_size"] = backbone.use_int("mla_channels", 256)
        fields["encoder_out_indices"] = backbone.use_indices("mla_index", (5, 11, 17, 23))
    else:
        backbone.ignore("norm_cfg")
    backbone.finish()
    decode_head, auxiliary_heads = model.section("decode_head"), model.sections("auxiliary_head")
    fields |= loss_fields(decode_head, auxiliary_heads)
    for head in (decode_head, *auxiliary_heads):
        _require_head(head, fields)
    fields.update(
        _mla_fields(decode_head, auxiliary_heads, fields)
        if is_mla
        else _up_head_fields(decode_head, auxiliary_heads, fields)
    )
    for head in (decode_head, *auxiliary_heads):
        head.finish()
    return fields


def _encoder_fields(backbone: OriginalFields) -> dict[str, Any]:
    hidden_size = backbone.use_int("embed_dim", 1024)
    backbone.require("qk_scale", None, default=None)
    backbone.require("hybrid_backbone", None, default=None)
    backbone.require("norm_layer", _LAYER_NORM, default=_LAYER_NORM)
    # The first two name and resize the ImageNet weights; the original ignores its backbone's number of classes.
    backbone.ignore("model_name", "pos_embed_interp", "align_corners", "random_init", "num_classes", "out_indices")
    return {
        "image_size": backbone.use_int("img_size", 384),
        "patch_size": backbone.use_int("patch_size", 16),
        "num_channels": backbone.use_int("in_chans", 3),
        "hidden_size": hidden_size,
        "num_hidden_layers": backbone.use_layers("depth", 24),
        "num_attention_heads": backbone.use_int("num_heads", 16),
        "intermediate_size": int(backbone.use_ratio("mlp_ratio", 4.0) * hidden_size),
        "hidden_act": "gelu",
        "hidden_dropout_prob": backbone.use_rate("drop_rate", 0.1),
        "attention_probs_dropout_prob": backbone.use_rate("attn_drop_rate", 0.0),
        "drop_path_rate": backbone.use_rate("drop_path_rate", 0.0),
        "drop_path_on_attention": True,
        "layer_norm_eps": _LAYER_NORM_EPS,
        "qkv_bias": backbone.use_bool("qkv_bias", True),
        "use_class_token": True,
        "use_distillation_token": False,
        "drop_prefix_tokens": False,
        "use_final_norm": False,
        "position_embedding_interpolation": "bilinear",
        "decoder_convolution_bias": True,
        "classifier_dropout": 0.0,
    }


def _require_head(head: OriginalFields, fields: dict[str, Any]) -> None:
    head.require("img_size", fields["image_size"], default=768)
    require_plain_head(head, fields["num_labels"], unused=("act_cfg",))
    # mmsegmentation's base class takes these; SETR's heads read none of them (they never apply their dropout).
    head.ignore("channels", "dropout_ratio")


def _up_head_fields(
    decode_head: OriginalFields, auxiliary_heads: Sequence[OriginalFields], fields: dict[str, Any]
) -> dict[str, Any]:
    shapes = []
    layers = []
    for head in (decode_head, *auxiliary_heads):
        head.require("type", "VisionTransformerUpHead")
        head.require("embed_dim", fields["hidden_size"], default=1024)
        head.require("norm_layer", _LAYER_NORM, default=_LAYER_NORM)
        head.require("upsampling_method", "bilinear", default="bilinear")
        head.ignore("in_channels")
        require_batch_norm(head)
        steps = (head.use_layers("num_conv", 1), head.use_int("num_upsampe_layer", 1))
        if steps not in _UP_HEADS:
            raise ConversionError(
                f"{head.where}: (num_conv, num_upsampe_layer) = {steps} is not supported: expected one of "
                f"{', '.join(map(str, _UP_HEADS))}."
            )
        # Four convolutions are always 3x3.
        is_3x3 = head.use_bool("conv3x3_conv1x1", True) or steps[0] == 4
        shapes.append((*_UP_HEADS[steps], 3 if is_3x3 else 1))
        layers.append(head.use_index("in_index", -1) % fields["num_hidden_layers"])
    if layers[0] != max(layers):
        raise ConversionError(
            f"{decode_head.where}.in_index = {layers[0]} is not supported: an auxiliary head reads a deeper layer "
            f"({max(layers)})."
        )
    out_indices = sorted(set(layers))
    num_convolutions, upsampling, kernel_size = shapes[0]
    auxiliary_shape = same_for_all(auxiliary_heads, "num_conv, num_upsampe_layer, conv3x3_conv1x1", shapes[1:], None)
    auxiliary = dict(
        zip(
            ("auxiliary_num_convolutions", "auxiliary_upsampling", "auxiliary_kernel_size"),
            auxiliary_shape or (),
            strict=False,
        )
    )
    return {
        "decoder_type": "naive" if upsampling == 1 else "pup",
        "decoder_hidden_size": _UP_HEAD_WIDTH,
        "decoder_num_convolutions": num_convolutions,
        "decoder_upsampling": upsampling,
        "decoder_kernel_size": kernel_size,
        "encoder_out_indices": out_indices,
        "auxiliary_in_indices": [out_indices.index(layer) for layer in layers[1:]],
        "auxiliary_classifier_bias": True,
        **auxiliary,
    }


def _mla_fields(
    decode_head: OriginalFields, auxiliary_heads: Sequence[OriginalFields], fields: dict[str, Any]
) -> dict[str, Any]:
    decode_head.require("type", "VIT_MLAHead")
    decode_head.require("mla_channels", fields["decoder_hidden_size"], default=256)
    require_batch_norm(decode_head)
    # The head gets all maps, whatever in_index and in_channels say; its norm is that of norm_cfg.
    decode_head.ignore("in_index", "in_channels", "norm_layer")
    in_indices = []
    for head in auxiliary_heads:
        head.require("type", "VIT_MLA_AUXIHead")
        # With 1024 channels the original builds two convolutions, which no map of this encoder fits.
        head.require("in_channels", 256)
        head.ignore("norm_cfg")
        in_indices.append(head.use_index("in_index", -1) % len(fields["encoder_out_indices"]))
    return {
        "decoder_type": "mla",
        "mla_head_hidden_size": decode_head.use_int("mlahead_channels", 128),
        "mla_classifier_kernel_size": 3,
        "mla_align_corners": True,
        "mla_deepest_first": False,
        "auxiliary_in_indices": in_indices,
        "auxiliary_classifier_bias": False,
    }


__all__ = ["read_original_model"]
