"""DINOv3's names (https://github.com/facebookresearch/dinov3), those of transformers' DINOv3, and ours.

Follows dinov3/models/vision_transformer.py and dinov3/eval/segmentation/models/ of the original. The encoder may come
in either naming: the original's file, or a folder of transformers.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch

from segvit_hf.conversion.dinov3.configuration import LINEAR, MASK2FORMER
from segvit_hf.conversion.key_mapping import Rule, Split, drop, rename, size_along, split_under, under
from segvit_hf.conversion.vit_adapter.names import ADAPTER_RULES, DEFORMABLE_ATTENTION_RULES, TORCH_ATTENTION_RULES

HEADS = {
    MASK2FORMER: r"segmentation_model\.1\.predictor\..*",
    LINEAR: r"segmentation_model\.1\.(conv|batchnorm_layer)\..*",
}
# The two wrappers of the original put the encoder at different places.
BACKBONE_PREFIXES = {LINEAR: "segmentation_model.0.feature_model.", MASK2FORMER: "segmentation_model.0.backbone."}
_MASK_TOKEN = "mask_token"
_CLASSIFIERS = ("segmentation_model.1.predictor.class_embed.weight", "segmentation_model.1.conv.weight")

_LAYER, _OUR_LAYER = "blocks.{layer}.", "model.layer.{layer}."
_BACKBONE_RULES: tuple[Rule, ...] = (
    rename("cls_token", "embeddings.cls_token"),
    rename("storage_tokens", "embeddings.register_tokens"),
    rename(_MASK_TOKEN, "embeddings.mask_token"),
    rename("patch_embed.proj.{rest}", "embeddings.patch_embeddings.{rest}"),
    rename("norm.{rest}", "norm.{rest}"),
    *under(
        _LAYER,
        _OUR_LAYER,
        (
            rename("norm1.{rest}", "norm1.{rest}"),
            rename("norm2.{rest}", "norm2.{rest}"),
            *(
                rename(f"attn.qkv.{kind}[{part}]", f"attention.{part[0]}_proj.{kind}")
                for kind in ("weight", "bias")
                for part in ("query", "key", "value")
                if (kind, part) != ("bias", "key")
            ),
            drop("attn.qkv.bias[key]", "multiplied by 0: keys have no bias"),
            drop("attn.qkv.bias_mask", "tells that keys have no bias"),
            rename("attn.proj.{rest}", "attention.o_proj.{rest}"),
            rename("ls{number}.gamma", "layer_scale{number}.lambda1"),
            rename("mlp.fc1.{rest}", "mlp.up_proj.{rest}"),
            rename("mlp.fc2.{rest}", "mlp.down_proj.{rest}"),
            rename("mlp.w1.{rest}", "mlp.gate_proj.{rest}"),
            rename("mlp.w2.{rest}", "mlp.up_proj.{rest}"),
            rename("mlp.w3.{rest}", "mlp.down_proj.{rest}"),
        ),
    ),
    drop("rope_embed.periods", "frequencies of the positions: computed from the configuration, not stored"),
    drop("local_cls_norm.{rest}", "the norm of small crops in pretraining, which nothing reads afterwards"),
    # transformers' own names, of its model and of its backbone.
    rename("embeddings.{rest}", "embeddings.{rest}"),
    rename("layer.{rest}", "model.layer.{rest}"),
    rename("model.layer.{rest}", "model.layer.{rest}"),
)
_BACKBONE_SPLITS = tuple(Split(f"{_LAYER}attn.qkv.{kind}", ("query", "key", "value")) for kind in ("weight", "bias"))
DINOV3_SPLITS = tuple(
    split for prefix in BACKBONE_PREFIXES.values() for split in split_under(prefix, _BACKBONE_SPLITS)
)

_LINEAR_RULES: tuple[Rule, ...] = (
    rename("batchnorm_layer.{rest}", "norm.{rest}"),
    rename("conv.{rest}", "classifier.{rest}"),
)
_PIXEL_DECODER_RULES: tuple[Rule, ...] = (
    rename("input_convs.{level}.0.{rest}", "input_convolutions.{level}.convolution.{rest}"),
    rename("input_convs.{level}.1.{rest}", "input_convolutions.{level}.norm.{rest}"),
    rename("encoder.level_encoding", "level_embeddings.weight"),
    *under("encoder.encoder.layers.{layer}.self_attn.", "layers.{layer}.attention.", DEFORMABLE_ATTENTION_RULES),
    rename("encoder.encoder.layers.{layer}.linear{number}.{rest}", "layers.{layer}.mlp.fc{number}.{rest}"),
    rename("encoder.encoder.layers.{layer}.norm{number}.{rest}", "layers.{layer}.norm{number}.{rest}"),
    rename("lateral_convs.0.norm.{rest}", "lateral_convolution.norm.{rest}"),
    rename("lateral_convs.0.{rest}", "lateral_convolution.convolution.{rest}"),
    rename("output_convs.0.norm.{rest}", "output_convolution.norm.{rest}"),
    rename("output_convs.0.{rest}", "output_convolution.convolution.{rest}"),
    rename("mask_feature.{rest}", "mask_projection.{rest}"),
)
_PREDICTOR_RULES: tuple[Rule, ...] = (
    *under(
        "transformer_cross_attention_layers.{layer}.multihead_attn.",
        "layers.{layer}.cross_attention.",
        TORCH_ATTENTION_RULES,
    ),
    rename("transformer_cross_attention_layers.{layer}.norm.{rest}", "layers.{layer}.norm1.{rest}"),
    *under(
        "transformer_self_attention_layers.{layer}.self_attn.", "layers.{layer}.self_attention.", TORCH_ATTENTION_RULES
    ),
    rename("transformer_self_attention_layers.{layer}.norm.{rest}", "layers.{layer}.norm2.{rest}"),
    rename("transformer_ffn_layers.{layer}.linear{number}.{rest}", "layers.{layer}.mlp.fc{number}.{rest}"),
    rename("transformer_ffn_layers.{layer}.norm.{rest}", "layers.{layer}.norm3.{rest}"),
    rename("post_norm.{rest}", "norm.{rest}"),
    rename("query_feat.{rest}", "query_features.{rest}"),
    rename("query_embed.{rest}", "query_positions.{rest}"),
    rename("level_embed.{rest}", "level_embeddings.{rest}"),
    rename("class_embed.{rest}", "class_head.{rest}"),
    rename("mask_embed.layers.{number}.{rest}", "mask_head.{number}.{rest}"),
)
_MASK2FORMER_RULES: tuple[Rule, ...] = (
    *under("segmentation_model.0.", "encoder.", ADAPTER_RULES),
    *under("segmentation_model.1.pixel_decoder.", "decoder.pixel_decoder.", _PIXEL_DECODER_RULES),
    *under("segmentation_model.1.predictor.", "decoder.", _PREDICTOR_RULES),
)


def dinov3_rules(config: Any) -> tuple[Rule, ...]:
    """Original names -> ours."""
    head = head_of(config)
    backbone = under(BACKBONE_PREFIXES[head], "encoder.backbone.", _BACKBONE_RULES)
    if head == LINEAR:
        return (*backbone, *under("segmentation_model.1.", "decoder.", _LINEAR_RULES))
    return (*backbone, *_MASK2FORMER_RULES)


def dinov3_transforms(config: Any) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
    """The mask token of transformers has a leading axis of its own."""
    return {f"{BACKBONE_PREFIXES[head_of(config)]}{_MASK_TOKEN}": lambda token: token[None]}


def dinov3_absent(config: Any, keys: Collection[str]) -> dict[str, torch.Tensor]:
    """The mask token, which hides patches in pretraining: some files are without it."""
    if any(key.endswith(_MASK_TOKEN) for key in keys):
        return {}
    return {f"{BACKBONE_PREFIXES[head_of(config)]}{_MASK_TOKEN}": torch.zeros(1, config.hidden_size)}


def encoder_prefix(head: Mapping[str, torch.Tensor]) -> str | None:
    """Where an encoder's names go beside a head's."""
    is_mask2former = any(key.startswith("segmentation_model.1.predictor.") for key in head)
    return BACKBONE_PREFIXES[MASK2FORMER if is_mask2former else LINEAR]


def head_of(config: Any) -> str:
    """Which of `HEADS` a configuration has."""
    return LINEAR if config.model_type == "linear_head" else MASK2FORMER


def count_classes(state_dict: Mapping[str, torch.Tensor]) -> int | None:
    """Number of classes of a DINOv3 segmentor, read from its classifier; `None` if it has none."""
    for no_object, name in zip((1, 0), _CLASSIFIERS, strict=True):
        rows = size_along(state_dict[name], 0) if name in state_dict else None
        if rows is not None:
            return rows - no_object
    return None


__all__ = [
    "BACKBONE_PREFIXES",
    "DINOV3_SPLITS",
    "HEADS",
    "count_classes",
    "dinov3_absent",
    "dinov3_rules",
    "dinov3_transforms",
    "encoder_prefix",
    "head_of",
]
