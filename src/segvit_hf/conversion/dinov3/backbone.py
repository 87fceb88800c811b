"""Reads the encoders of DINOv3's segmentors as configurations of transformers' DINOv3.

Follows dinov3/models/vision_transformer.py, dinov3/layers/ and dinov3/hub/backbones.py of
https://github.com/facebookresearch/dinov3.
"""

from typing import Any

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.original_fields import OriginalFields

# The gated layers' width is rounded up to a multiple of these.
_WIDTH_MULTIPLES = {"swiglu": 8, "swiglu64": 64}


def read_backbone(backbone: OriginalFields) -> dict[str, Any]:
    """The `backbone_config` of our configurations for DINOv3's `DinoVisionTransformer`.

    Raises:
        ConversionError: If a field is missing, unknown or has a value that is not supported, naming it.
    """
    backbone.require("type", "DinoVisionTransformer")
    hidden_size = backbone.use_int("embed_dim")
    has_bias = backbone.use_bool("qkv_bias", True)
    fields = {
        "model_type": "dinov3_vit",
        "image_size": backbone.use_int("img_size", 224),
        "patch_size": backbone.use_int("patch_size", 16),
        "num_channels": backbone.use_int("in_chans", 3),
        "hidden_size": hidden_size,
        "num_hidden_layers": backbone.use_layers("depth"),
        "num_attention_heads": backbone.use_int("num_heads"),
        **_feed_forward_fields(backbone, hidden_size),
        "layer_norm_eps": backbone.use_epsilon("norm_eps", 1e-5),
        "rope_theta": backbone.use_number("pos_embed_rope_base", 100),
        "query_bias": has_bias,
        "key_bias": False,
        "value_bias": has_bias,
        "proj_bias": backbone.use_bool("proj_bias", True),
        "mlp_bias": backbone.use_bool("ffn_bias", True),
        "num_register_tokens": backbone.use_int("n_storage_tokens", 0, minimum=0),
        "layerscale_value": backbone.use_number("layerscale_init", 1e-5),
        "drop_path_rate": backbone.use_rate("drop_path_rate", 0.0),
        "pos_embed_rescale": _optional_number(backbone, "pos_embed_rope_rescale_coords"),
    }
    # Without it the keys would have a bias, which transformers' DINOv3 can have, and no released model has.
    backbone.require("mask_k_bias", True, default=True)
    backbone.require("pos_embed_rope_normalize_coords", "separate", default="separate")
    for name in ("pos_embed_rope_shift_coords", "pos_embed_rope_jitter_coords"):
        backbone.require(name, None, default=None)
    backbone.require("untie_cls_and_patch_norms", False, default=False)
    # The type of the positions' numbers, of the norms, and a norm that only training uses.
    backbone.ignore("pos_embed_rope_dtype", "norm_layer", "untie_global_and_local_cls_norm", "device")
    backbone.finish()
    return fields


def _feed_forward_fields(backbone: OriginalFields, hidden_size: int) -> dict[str, Any]:
    plain_width = int(hidden_size * backbone.use_ratio("ffn_ratio", 4))
    kind = backbone.require("ffn_layer", "mlp", *_WIDTH_MULTIPLES, default="mlp")
    if kind == "mlp":
        return {"use_gated_mlp": False, "hidden_act": "gelu", "intermediate_size": plain_width}
    multiple = _WIDTH_MULTIPLES[kind]
    width = -(-int(plain_width * 2 / 3) // multiple) * multiple
    return {"use_gated_mlp": True, "hidden_act": "silu", "intermediate_size": width}


def _optional_number(backbone: OriginalFields, name: str) -> float | None:
    return None if backbone.use(name, None) is None else backbone.use_number(name)


def read_out_indices(model: OriginalFields, num_layers: int) -> list[int]:
    """The 0-based layers that the head reads.

    Raises:
        ConversionError: If they are not ascending layers of the encoder.
    """
    model.ignore("backbone_out_layers")  # the name of what out_indices says
    indices = model.use_indices("out_indices")
    if not indices or indices != sorted(set(indices)) or not 0 <= indices[0] <= indices[-1] < num_layers:
        raise ConversionError(
            f"{model.where}.out_indices: expected ascending layers from 0 to {num_layers - 1}, found {indices}."
        )
    return indices


__all__ = ["read_backbone", "read_out_indices"]
