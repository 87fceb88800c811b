"""Reads the encoders of DINOv2's segmentation configurations.

Follows dinov2/models/vision_transformer.py and dinov2/eval/segmentation_m2f/models/backbones/ of
https://github.com/facebookresearch/dinov2.
"""

from typing import Any

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.original_fields import OriginalFields
from segvit_hf.conversion.vit_adapter.encoder import read_encoder

# The gated layer keeps two thirds of the plain one's width, rounded up to a multiple of 8.
_WIDTH_MULTIPLE = 8


def gated_width(plain_width: int) -> int:
    """Width of the gated feed-forward layer that stands for a plain one."""
    return -(-int(plain_width * 2 / 3) // _WIDTH_MULTIPLE) * _WIDTH_MULTIPLE


def feed_forward_fields(plain_width: int, *, is_gated: bool) -> dict[str, Any]:
    """Fields of `ViTEncoderConfig` for a feed-forward layer."""
    if is_gated:
        return {"use_gated_mlp": True, "hidden_act": "silu", "intermediate_size": gated_width(plain_width)}
    return {"use_gated_mlp": False, "hidden_act": "gelu", "intermediate_size": plain_width}


def read_vit(backbone: OriginalFields) -> dict[str, Any]:
    """Fields of `LinearHeadConfig` for DINOv2's `DinoVisionTransformer`; all its `out_indices` are taken.

    Raises:
        ConversionError: If a field is missing, unknown or has a value that is not supported, naming it.
    """
    backbone.require("type", "DinoVisionTransformer")
    hidden_size, num_layers = backbone.use_int("embed_dim"), backbone.use_layers("depth")
    patch_size = backbone.use_int("patch_size")
    plain_width = int(backbone.use_ratio("mlp_ratio", 4) * hidden_size)
    is_gated = backbone.require("ffn_layer", "mlp", "swiglufused", default="mlp") == "swiglufused"
    fields = {
        "image_size": backbone.use_pair("img_size"),
        "patch_size": patch_size,
        "hidden_size": hidden_size,
        "num_hidden_layers": num_layers,
        "num_attention_heads": backbone.use_int("num_heads"),
        **feed_forward_fields(plain_width, is_gated=is_gated),
        "qkv_bias": backbone.use_bool("qkv_bias", True),
        "layer_norm_eps": backbone.use_epsilon("norm_eps", 1e-6),
        "layer_scale_init_value": backbone.use_number("init_values", 1.0),
        "position_embedding_offset": backbone.use_rate("interpolate_offset", 0.1),
        "encoder_out_indices": _out_indices(backbone, num_layers),
        "use_class_token": True,
        "use_final_norm": True,
        "normalize_feature_maps": backbone.require("norm_of_intermediate_layers", True, default=True),
        "backbone_padding": "center",
    }
    backbone.require("center_padding", patch_size, default=patch_size)
    # No head was released for the encoders with registers, nor for those that antialias position embeddings.
    backbone.require("num_register_tokens", 0, default=0)
    backbone.require("interpolate_antialias", False, default=False)
    backbone.ignore("block_chunks", "drop_path_rate", "pretrained", "init_cfg")
    backbone.finish()
    return fields


def _out_indices(backbone: OriginalFields, num_layers: int) -> list[int]:
    indices = backbone.use_indices("out_indices")
    if indices != sorted(set(indices)) or not indices or not 0 <= indices[0] <= indices[-1] < num_layers:
        raise ConversionError(
            f"{backbone.where}.out_indices: expected ascending layers from 0 to {num_layers - 1}, found {indices}."
        )
    return indices


def read_vit_of_adapter(backbone: OriginalFields) -> dict[str, Any]:
    """Fields of `ViTAdapterEncoderConfig` for DINOv2's ViT with an adapter.

    It is ViT-Adapter's, and may carry the class token through, have another patch size and gated feed-forward layers.

    Raises:
        ConversionError: If a field is unknown or has a value that is not supported, naming it.
    """
    own = {
        "patch_size": backbone.use_int("patch_size", 16),
        "use_class_token": backbone.use_bool("use_cls", True),
    }
    is_gated = backbone.require("ffn_type", "mlp", "swiglu", default="mlp") == "swiglu"
    backbone.require("type", "ViTAdapter")
    known = ("patch_size", "use_cls", "ffn_type", "freeze_vit", "type")
    rest = {name: value for name, value in backbone.values.items() if name not in known}
    fields = read_encoder(OriginalFields({"type": "ViTAdapter", **rest}, backbone.where))
    return {**fields, **feed_forward_fields(fields["intermediate_size"], is_gated=is_gated), **own}


__all__ = ["feed_forward_fields", "read_vit", "read_vit_of_adapter"]
