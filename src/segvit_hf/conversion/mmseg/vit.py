"""The plain ViT encoders of mmsegmentation: configuration fields.

Follows mmsegmentation's mmseg/models/backbones/vit.py (https://github.com/open-mmlab/mmsegmentation), 0.x and 1.x, and
SegViT's vit_shrink (https://github.com/zbwxp/SegVit).
"""

from collections.abc import Mapping
from typing import Any

import torch

from segvit_hf.conversion.original_fields import OriginalFields

# torch.nn.LayerNorm's own epsilon, which mmcv keeps when norm_cfg names none.
_DEFAULT_LAYER_NORM_EPS = 1e-5
_PATCH_EMBEDDING = "backbone.patch_embed.projection"


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
        # 1.x's default is False, 0.x has no such field and always a bias: `patch_bias_of` looks at the weights.
        "patch_bias": backbone.use_bool("patch_bias", True),
        "hidden_size": hidden_size,
        "num_hidden_layers": num_layers,
        "num_attention_heads": backbone.use_int("num_heads", 12),
        "intermediate_size": int(backbone.use_ratio("mlp_ratio", 4) * hidden_size),
        "hidden_act": "gelu",
        "hidden_dropout_prob": backbone.use_rate("drop_rate", 0.0),
        "attention_probs_dropout_prob": backbone.use_rate("attn_drop_rate", 0.0),
        "drop_path_rate": backbone.use_rate("drop_path_rate", 0.0),
        # mmsegmentation builds the attention without its drop path.
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
        "encoder_out_indices": out_layers(backbone, num_layers),
        "shrink_index": backbone.use_index("shrink_idx", 8) if kind == "vit_shrink" else None,
        # Without it torch's MultiheadAttention would lack the bias of its output projection too, which ours has.
        "qkv_bias": backbone.require("qkv_bias", True, default=True),
    }
    backbone.require("act_cfg", {"type": "GELU"}, default={"type": "GELU"})
    backbone.require("patch_norm", False, default=False)
    backbone.require("output_cls_token", False, default=False)
    backbone.require("num_fcs", 2, default=2)
    backbone.require("patch_pad", "corner", default="corner")
    backbone.require("out_origin", False, default=False)
    backbone.require("pre_norm", False, default=False)
    backbone.ignore("norm_eval", "with_cp", "frozen_exclude", "pretrained", "init_cfg")
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


def patch_bias_of(state_dict: Mapping[str, torch.Tensor]) -> dict[str, bool]:
    """The field `patch_bias`, where weights with mmsegmentation 1.x's names say that there is none."""
    without = f"{_PATCH_EMBEDDING}.weight" in state_dict and f"{_PATCH_EMBEDDING}.bias" not in state_dict
    return {"patch_bias": False} if without else {}


def out_layers(backbone: OriginalFields, num_layers: int, default: int | list[int] = -1) -> list[int]:
    """0-based layers of `out_indices`, of which negative ones count from the end."""
    indices = backbone.use_indices("out_indices", default)
    return [index + num_layers if index < 0 else index for index in indices]


__all__ = ["layer_norm_eps", "mmseg_vit_configuration", "out_layers", "patch_bias_of"]
