"""The BEiT encoders of mmsegmentation models: configuration fields.

Follows beit2/semantic_segmentation/backbone/beit.py of https://github.com/microsoft/unilm, and mmsegmentation's own
mmseg/models/backbones/beit.py: two classes of the same name.
"""

from collections.abc import Mapping
from typing import Any

from segvit_hf.conversion.mmseg.vit import layer_norm_eps, out_layers
from segvit_hf.conversion.original_fields import OriginalFields

# Fixed in the code of the official one.
_LAYER_NORM_EPS = 1e-6
# Arguments that only mmsegmentation's class has.
_MMSEG_ARGUMENTS = ("embed_dims", "num_layers", "in_channels", "qv_bias")


def is_mmseg_beit(backbone: Mapping[str, Any]) -> bool:
    """Whether the arguments of a backbone `BEiT` are those of mmsegmentation's class, not of the official one."""
    return any(name in backbone for name in _MMSEG_ARGUMENTS)


def beit_configuration(backbone: OriginalFields) -> dict[str, Any]:
    """Fields of `ViTEncoderConfig` that describe either BEiT. Absent fields get the default of its constructor.

    mmsegmentation's applies stochastic depth twice to the feed-forward branch in training; ours does it once.

    Raises:
        ConversionError: If a field is unknown or has a value that is not supported, naming it.
    """
    backbone.require("type", "BEiT")
    fields = _mmseg_fields(backbone) if is_mmseg_beit(backbone.values) else _official_fields(backbone)
    configuration = {
        "image_size": backbone.use_pair("img_size", 224),
        "patch_size": backbone.use_int("patch_size", 16),
        "num_attention_heads": backbone.use_int("num_heads", 12),
        "intermediate_size": int(backbone.use_ratio("mlp_ratio", 4) * fields["hidden_size"]),
        "hidden_act": "gelu",
        "attention_probs_dropout_prob": backbone.use_rate("attn_drop_rate", 0.0),
        "drop_path_rate": backbone.use_rate("drop_path_rate", 0.0),
        "drop_path_on_attention": True,
        "use_class_token": True,
        "use_distillation_token": False,
        "drop_prefix_tokens": False,
        "use_position_embeddings": False,
        "use_relative_position_bias": True,
        "use_final_norm": False,
        **fields,
    }
    backbone.ignore("pretrained", "init_cfg")
    backbone.finish()
    return configuration


def _official_fields(backbone: OriginalFields) -> dict[str, Any]:
    num_layers = backbone.use_layers("depth", 12)
    backbone.require("use_abs_pos_emb", False, default=True)
    backbone.require("use_rel_pos_bias", True, default=False)
    backbone.require("use_shared_rel_pos_bias", False, default=False)
    backbone.require("qk_scale", None, default=None)
    backbone.require("hybrid_backbone", None, default=None)
    backbone.require("norm_layer", None, default=None)
    backbone.ignore("use_checkpoint", "num_classes")
    return {
        "num_channels": backbone.use_int("in_chans", 3),
        "hidden_size": backbone.use_int("embed_dim", 768),
        "num_hidden_layers": num_layers,
        "hidden_dropout_prob": backbone.use_rate("drop_rate", 0.0),
        "layer_norm_eps": _LAYER_NORM_EPS,
        "qkv_bias": backbone.use_bool("qkv_bias", False),
        # Null stands for no layer scale.
        "layer_scale_init_value": None
        if backbone.use("init_values", None) is None
        else backbone.use_number("init_values"),
        "encoder_out_indices": out_layers(backbone, num_layers, default=[3, 5, 7, 11]),
    }


def _mmseg_fields(backbone: OriginalFields) -> dict[str, Any]:
    num_layers = backbone.use_layers("num_layers", 12)
    backbone.require("act_cfg", {"type": "GELU"}, default={"type": "GELU"})
    backbone.require("patch_norm", False, default=False)
    backbone.require("final_norm", False, default=False)
    backbone.require("num_fcs", 2, default=2)
    backbone.ignore("norm_eval")
    return {
        "num_channels": backbone.use_int("in_channels", 3),
        "hidden_size": backbone.use_int("embed_dims", 768),
        "num_hidden_layers": num_layers,
        "hidden_dropout_prob": 0.0,
        "layer_norm_eps": layer_norm_eps(backbone),
        "qkv_bias": backbone.use_bool("qv_bias", True),
        "layer_scale_init_value": backbone.use_number("init_values", 0.1),
        "encoder_out_indices": out_layers(backbone, num_layers),
    }


__all__ = ["beit_configuration", "is_mmseg_beit"]
