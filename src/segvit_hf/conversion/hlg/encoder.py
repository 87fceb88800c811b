"""Reads the encoders of HLG's configurations: mmsegmentation's and mmdetection's backbones, and the classifier's."""

from typing import Any

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.original_fields import OriginalFields
from segvit_hf.encoders.configuration_hlg import NUM_STAGES, STRIDES

# Arguments that the original takes and never reads: sizes of a part of it that is not there any more.
_UNUSED = (
    "patch_size",
    "mlp_ratios",
    "sr_ratios",
    "proj_dwconv",
    "downsampling",
    "use_checkpoint",
    "pretrained",
    "init_cfg",
)
_LAYER_NORMS = {f"LayerNorm(eps={eps})": float(eps) for eps in ("1e-5", "1e-05", "1e-6", "1e-06")}
_INTERVALS = [STRIDES[-1] // stride for stride in STRIDES]


def read_encoder(backbone: OriginalFields, *, default_eps: float) -> dict[str, Any]:
    """Fields of `HlgEncoderConfig` that all three tasks have.

    Args:
        backbone: The dictionary of the backbone's, or the classifier's, arguments.
        default_eps: Epsilon of its layer norms where it does not say.

    Raises:
        ConversionError: If a field is unknown or has a value that is not supported, naming it.
    """
    backbone.require("type", "HLGTransformer", default="HLGTransformer")
    fields = {
        "image_size": backbone.use_pair("img_size", 224),
        "num_channels": backbone.use_int("in_chans", 3),
        "hidden_sizes": _per_stage(backbone, "embed_dims"),
        "depths": _per_stage(backbone, "depths"),
        "num_attention_heads": _per_stage(backbone, "num_heads"),
        "qkv_bias": backbone.use_bool("qkv_bias", False),
        "hidden_dropout_prob": backbone.use_rate("drop_rate", 0.0),
        "attention_probs_dropout_prob": backbone.use_rate("attn_drop_rate", 0.0),
        "drop_path_rate": backbone.use_rate("drop_path_rate", 0.0),
        "layer_norm_eps": _layer_norm_eps(backbone, default_eps),
    }
    backbone.require("qk_scale", None, default=None)
    backbone.require("h0_h1_fusion_type", "attn", default="attn")
    backbone.require("h0_att", False, default=False)
    # Two names for the average over a window's tokens.
    backbone.require("h0_h1_method", "mean", "avgpool", default="mean")
    backbone.require("crs_interval", _INTERVALS, default=_INTERVALS)
    backbone.require("dynamic_position_bias", True, default=True)
    backbone.require("use_cls_token", False, default=False)
    backbone.ignore(*_UNUSED)
    return fields


def _per_stage(backbone: OriginalFields, name: str) -> list[int]:
    values = backbone.use_indices(name)
    if len(values) != NUM_STAGES or min(values) < 1:
        raise ConversionError(
            f"{backbone.where}.{name}: expected {NUM_STAGES} whole numbers above 0, one per stage, found {values}."
        )
    return values


def _layer_norm_eps(backbone: OriginalFields, default: float) -> float:
    value = backbone.require("norm_layer", None, *_LAYER_NORMS, default=None)
    return default if value is None else _LAYER_NORMS[value]


__all__ = ["read_encoder"]
