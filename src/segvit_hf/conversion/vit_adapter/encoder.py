"""Reads the encoders of ViT-Adapter's configurations.

Follows segmentation/mmseg_custom/models/backbones/vit_adapter.py, beit_adapter.py, base/vit.py and base/beit.py of
https://github.com/czczup/ViT-Adapter.
"""

from typing import Any

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.original_fields import MOST_LAYERS, OriginalFields
from segvit_hf.messages import quoted

# Fixed in the code of the original.
_LAYER_NORM_EPS = 1e-6
_NUM_EXTRA_EXTRACTORS = 2


def read_encoder(backbone: OriginalFields) -> dict[str, Any]:
    """Fields of `VitAdapterEncoderConfig`.

    Raises:
        ConversionError: If a field is unknown or has a value that is not supported, naming it.
    """
    is_beit = backbone.require("type", "ViTAdapter", "BEiTAdapter") == "BEiTAdapter"
    hidden_size = backbone.use_int("embed_dim", 768)
    num_layers = backbone.use_layers("depth", 12)
    fields = {
        "patch_size": backbone.require("patch_size", 16, default=16),
        "num_channels": backbone.use_int("in_chans", 3),
        "hidden_size": hidden_size,
        "num_hidden_layers": num_layers,
        "num_attention_heads": backbone.use_int("num_heads", 12),
        "intermediate_size": int(backbone.use_ratio("mlp_ratio", 4) * hidden_size),
        "hidden_act": "gelu",
        "hidden_dropout_prob": backbone.use_rate("drop_rate", 0.0),
        "attention_probs_dropout_prob": backbone.use_rate("attn_drop_rate", 0.0),
        "drop_path_rate": backbone.use_rate("drop_path_rate", 0.0),
        "layer_norm_eps": _LAYER_NORM_EPS,
        "qkv_bias": backbone.use_bool("qkv_bias", not is_beit),
        "spatial_prior_hidden_size": backbone.use_int("conv_inplane", 64),
        "adapter_num_points": backbone.use_layers("n_points", 4),
        "adapter_num_attention_heads": backbone.use_int("deform_num_heads", 6),
        "adapter_value_ratio": backbone.use_ratio("deform_ratio", 1.0),
        "adapter_mlp_ratio": backbone.use_ratio("cffn_ratio", 0.25),
        "injector_init_value": backbone.use_number("init_values", 0.0),
        "num_extra_extractors": _NUM_EXTRA_EXTRACTORS,
        "add_vit_features": backbone.use_bool("add_vit_feature", True),
        "encoder_out_indices": _interaction_ends(backbone, num_layers),
    }
    if is_beit:
        fields.update(_beit_fields(backbone))
    else:
        fields.update(_vit_fields(backbone, num_layers))
    backbone.require("with_cffn", True, default=True)
    backbone.require("norm_layer", "LayerNorm(eps=1e-6)", None, default=None)
    backbone.ignore("num_classes", "with_cp", "pretrained", "init_cfg")
    backbone.finish()
    return fields


def _vit_fields(backbone: OriginalFields, num_layers: int) -> dict[str, Any]:
    backbone.require("act_layer", "GELU (exact)", None, default=None)
    backbone.require("window_attn", False, [False] * num_layers, default=False)
    extra = backbone.use_bool("use_extra_extractor", True)
    backbone.ignore("window_size", "img_size")
    return {
        # Position embeddings are cut into the grid of pretrain_size whatever img_size says.
        "image_size": backbone.use_int("pretrain_size", 224),
        "use_class_token": False,
        "layer_scale_init_value": 1.0 if backbone.use_bool("layer_scale", True) else None,
        "num_extra_extractors": _NUM_EXTRA_EXTRACTORS if extra else 0,
    }


def _beit_fields(backbone: OriginalFields) -> dict[str, Any]:
    backbone.require("use_abs_pos_emb", False, default=False)
    backbone.require("use_rel_pos_bias", True, default=True)
    backbone.require("use_shared_rel_pos_bias", False, default=False)
    backbone.require("qk_scale", None, default=None)
    backbone.require("hybrid_backbone", None, default=None)
    backbone.ignore("use_checkpoint", "pretrain_size")
    return {
        "image_size": backbone.use_pair("img_size", 512),
        "use_class_token": True,
        "use_position_embeddings": False,
        "use_relative_position_bias": True,
        "layer_scale_init_value": backbone.use_number("init_values", 0.0),
    }


def _interaction_ends(backbone: OriginalFields, num_layers: int) -> list[int]:
    groups = backbone.use("interaction_indexes")
    if not _is_list_of_groups(groups):
        raise ConversionError(
            f"{backbone.where}.interaction_indexes: expected a list of groups of layers, found {quoted(groups)}."
        )
    layers = [layer for group in groups for layer in range(group[0], group[-1] + 1)]
    if layers != list(range(num_layers)):
        raise ConversionError(
            f"{backbone.where}.interaction_indexes = {quoted(groups)}: expected groups [first, last] that hold every "
            f"one of the {num_layers} layers once, in order."
        )
    return [group[-1] for group in groups]


def _is_list_of_groups(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and 0 < len(value) < MOST_LAYERS and all(map(_is_group, value))


def _is_group(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(type(i) is int and i < MOST_LAYERS for i in value)


__all__ = ["read_encoder"]
