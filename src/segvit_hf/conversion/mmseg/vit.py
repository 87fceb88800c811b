"""The plain ViT encoders of mmsegmentation: configuration fields.

Follows mmsegmentation 0.x's mmseg/models/backbones/vit.py (https://github.com/open-mmlab/mmsegmentation) and SegViT's
vit_shrink (https://github.com/zbwxp/SegVit).
"""

from typing import Any

from segvit_hf.conversion.original_fields import OriginalFields

# torch.nn.LayerNorm's own epsilon, which mmcv keeps when norm_cfg names none.
_DEFAULT_LAYER_NORM_EPS = 1e-5


def mmseg_vit_configuration(backbone: OriginalFields) -> dict[str, Any]:
    """Fields of `ViTEncoderConfig` that describe mmsegmentation's `VisionTransformer` or SegViT's `vit_shrink`.

    Absent fields get the default of the original's constructor.

    Raises:
        ConversionError: If a field is unknown or has a value that is not supported, naming it.
    """
    kind = backbone.require("type", "VisionTransformer", "vit_shrink")
    hidden_size = backbone.use_int("embed_dims", 768)
    num_layers = backbone.use_layers("num_layers", 12)
    with_class_token = backbone.use_bool("with_cls_token", True)
    configuration = {
        "image_size": backbone.use_pair("img_size", 224),
        "patch_size": backbone.use_int("patch_size", 16),
        "num_channels": backbone.use_int("in_channels", 3),
        "hidden_size": hidden_size,
        "num_hidden_layers": num_layers,
        "num_attention_heads": backbone.use_int("num_heads", 12),
        "intermediate_size": int(backbone.use_ratio("mlp_ratio", 4) * hidden_size),
        "hidden_act": "gelu",
        "hidden_dropout_prob": backbone.use_rate("drop_rate", 0.0),
        "attention_probs_dropout_prob": backbone.use_rate("attn_drop_rate", 0.0),
        "drop_path_rate": backbone.use_rate("drop_path_rate", 0.0),
        # mmsegmentation 0.x builds the attention without its drop path.
        "drop_path_on_attention": False,
        "layer_norm_eps": layer_norm_eps(backbone),
        # The class token is in the checkpoint either way: without it mmsegmentation only adds position embeddings.
        "use_class_token": True,
        "use_distillation_token": False,
        "drop_prefix_tokens": not with_class_token,
        "use_final_norm": backbone.use_bool("final_norm", False),
        "position_embedding_interpolation": backbone.require(
            "interpolate_mode", "bicubic", "bilinear", default="bicubic"
        ),
        "position_embedding_resize_by": "count",
        "encoder_out_indices": _out_indices(backbone, num_layers),
        "shrink_index": backbone.use_index("shrink_idx", 8) if kind == "vit_shrink" else None,
        # Without it torch's MultiheadAttention would lack the bias of its output projection too, which ours has.
        "qkv_bias": backbone.require("qkv_bias", True, default=True),
    }
    backbone.require("act_cfg", {"type": "GELU"}, default={"type": "GELU"})
    backbone.require("patch_norm", False, default=False)
    backbone.require("output_cls_token", False, default=False)
    backbone.require("num_fcs", 2, default=2)
    backbone.ignore("norm_eval", "with_cp", "pretrained", "init_cfg")
    backbone.finish()
    return configuration


def layer_norm_eps(fields: OriginalFields, name: str = "norm_cfg") -> float:
    """Epsilon of the `norm_cfg` called `name`, which must be a layer norm."""
    if fields.use(name, None) is None:
        return _DEFAULT_LAYER_NORM_EPS
    norm = fields.section(name)
    norm.require("type", "LN")
    norm.ignore("requires_grad")
    eps = norm.use_epsilon("eps", _DEFAULT_LAYER_NORM_EPS)
    norm.finish()
    return eps


def _out_indices(backbone: OriginalFields, num_layers: int) -> list[int]:
    indices = backbone.use_indices("out_indices", -1)
    return [index + num_layers if index < 0 else index for index in indices]


__all__ = ["layer_norm_eps", "mmseg_vit_configuration"]
