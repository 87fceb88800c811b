"""ViT-Adapter's names (https://github.com/czczup/ViT-Adapter) and ours.

Follows segmentation/mmseg_custom/models/backbones/ and decode_heads/ of the original.
"""

from collections.abc import Callable, Mapping

import torch

from segvit_hf.conversion.key_mapping import Rule, drop, rename, size_along, under
from segvit_hf.conversion.vit_names import BEIT_RULES, SCALED_VIT_RULES
from segvit_hf.models.vit_adapter.configuration_vit_adapter import VitAdapterConfig

# By `VitAdapterConfig.decoder_type`. Old files of Mask2Former also have a `conv_seg`, which it does not use.
HEADS = {"mask2former": r"decode_head\.cls_embed\..*", "upernet": r"decode_head\.conv_seg\..*"}
_POSITION_EMBEDDINGS = "backbone.pos_embed"
_MASK2FORMER_CLASSIFIER = "decode_head.cls_embed.weight"
_UPERNET_CLASSIFIER = "decode_head.conv_seg.weight"

_BATCH_NORM = (rename("bn.{rest}", "norm.{rest}"), rename("conv.{rest}", "convolution.{rest}"))
_GROUP_NORM = (rename("gn.{rest}", "norm.{rest}"), rename("conv.{rest}", "convolution.{rest}"))

DEFORMABLE_ATTENTION_RULES = (
    rename("sampling_offsets.{rest}", "sampling_offsets.{rest}"),
    rename("attention_weights.{rest}", "attention_weights.{rest}"),
    rename("value_proj.{rest}", "value.{rest}"),
    rename("output_proj.{rest}", "proj.{rest}"),
)
_EXCHANGE_RULES = (
    rename("gamma", "layer_scale"),
    rename("query_norm.{rest}", "query_norm.{rest}"),
    rename("feat_norm.{rest}", "feature_norm.{rest}"),
    *under("attn.", "attention.", DEFORMABLE_ATTENTION_RULES),
    rename("ffn_norm.{rest}", "mlp_norm.{rest}"),
    rename("ffn.dwconv.dwconv.{rest}", "mlp.depthwise_convolution.{rest}"),
    rename("ffn.{rest}", "mlp.{rest}"),
)
# Convolution, norm and activation are counted in the stem: three places for each of its convolutions.
_SPATIAL_PRIOR_RULES = (
    *(
        rename(f"stem.{3 * index + part}.{{rest}}", f"stem.{index}.{name}.{{rest}}")
        for index in range(3)
        for part, name in enumerate(("convolution", "norm"))
    ),
    rename("conv{stage+2}.0.{rest}", "stages.{stage}.convolution.{rest}"),
    rename("conv{stage+2}.1.{rest}", "stages.{stage}.norm.{rest}"),
    rename("fc{level+1}.{rest}", "projections.{level}.{rest}"),
)
ADAPTER_RULES: tuple[Rule, ...] = (
    rename("level_embed", "level_embeddings.weight"),
    *under("spm.", "spatial_prior.", _SPATIAL_PRIOR_RULES),
    *under("interactions.{block}.injector.", "interactions.{block}.injector.", _EXCHANGE_RULES),
    *under("interactions.{block}.extractor.", "interactions.{block}.extractor.", _EXCHANGE_RULES),
    *under(
        "interactions.{block}.extra_extractors.{number}.",
        "interactions.{block}.extra_extractors.{number}.",
        _EXCHANGE_RULES,
    ),
    rename("up.{rest}", "upsample.{rest}"),
    rename("norm{level+1}.{rest}", "feature_norms.{level}.{rest}"),
)

_UPERNET_RULES: tuple[Rule, ...] = (
    *under("decode_head.psp_modules.{scale}.1.", "decoder.pooled_convolutions.{scale}.", _BATCH_NORM),
    *under("decode_head.bottleneck.", "decoder.bottleneck.", _BATCH_NORM),
    *under("decode_head.lateral_convs.{level}.", "decoder.lateral_convolutions.{level}.", _BATCH_NORM),
    *under("decode_head.fpn_convs.{level}.", "decoder.pyramid_convolutions.{level}.", _BATCH_NORM),
    *under("decode_head.fpn_bottleneck.", "decoder.pyramid_bottleneck.", _BATCH_NORM),
    rename("decode_head.conv_seg.{rest}", "decoder.classifier.{rest}"),
    *under("auxiliary_head.convs.{number}.", "auxiliary_head.convolutions.{number}.", _BATCH_NORM),
    rename("auxiliary_head.conv_seg.{rest}", "auxiliary_head.classifier.{rest}"),
)

TORCH_ATTENTION_RULES = (
    rename("in_proj_weight", "qkv.weight"),
    rename("in_proj_bias", "qkv.bias"),
    rename("out_proj.{rest}", "proj.{rest}"),
)
_LAYER_RULES = (
    rename("ffns.0.layers.0.0.{rest}", "mlp.fc1.{rest}"),
    rename("ffns.0.layers.1.{rest}", "mlp.fc2.{rest}"),
    rename("norms.{number}.{rest}", "norm{number+1}.{rest}"),
)
_MASK2FORMER_RULES: tuple[Rule, ...] = (
    *under(
        "decode_head.pixel_decoder.input_convs.{level}.",
        "decoder.pixel_decoder.input_convolutions.{level}.",
        _GROUP_NORM,
    ),
    *under(
        "decode_head.pixel_decoder.encoder.layers.{layer}.attentions.0.",
        "decoder.pixel_decoder.layers.{layer}.attention.",
        DEFORMABLE_ATTENTION_RULES,
    ),
    *under("decode_head.pixel_decoder.encoder.layers.{layer}.", "decoder.pixel_decoder.layers.{layer}.", _LAYER_RULES),
    rename("decode_head.pixel_decoder.level_encoding.{rest}", "decoder.pixel_decoder.level_embeddings.{rest}"),
    *under("decode_head.pixel_decoder.lateral_convs.0.", "decoder.pixel_decoder.lateral_convolution.", _GROUP_NORM),
    *under("decode_head.pixel_decoder.output_convs.0.", "decoder.pixel_decoder.output_convolution.", _GROUP_NORM),
    rename("decode_head.pixel_decoder.mask_feature.{rest}", "decoder.pixel_decoder.mask_projection.{rest}"),
    *under(
        "decode_head.transformer_decoder.layers.{layer}.attentions.0.attn.",
        "decoder.layers.{layer}.cross_attention.",
        TORCH_ATTENTION_RULES,
    ),
    *under(
        "decode_head.transformer_decoder.layers.{layer}.attentions.1.attn.",
        "decoder.layers.{layer}.self_attention.",
        TORCH_ATTENTION_RULES,
    ),
    *under("decode_head.transformer_decoder.layers.{layer}.", "decoder.layers.{layer}.", _LAYER_RULES),
    rename("decode_head.transformer_decoder.post_norm.{rest}", "decoder.norm.{rest}"),
    rename("decode_head.query_feat.{rest}", "decoder.query_features.{rest}"),
    rename("decode_head.query_embed.{rest}", "decoder.query_positions.{rest}"),
    rename("decode_head.level_embed.{rest}", "decoder.level_embeddings.{rest}"),
    rename("decode_head.cls_embed.{rest}", "decoder.class_head.{rest}"),
    *(
        rename(f"decode_head.mask_embed.{2 * index}.{{rest}}", f"decoder.mask_head.{index}.{{rest}}")
        for index in range(3)
    ),
    drop("decode_head.conv_seg.{rest}", "mmsegmentation's own classifier, which this head does not use"),
)


def vit_adapter_rules(config: VitAdapterConfig) -> tuple[Rule, ...]:
    """Original names -> ours."""
    encoder = BEIT_RULES if config.use_relative_position_bias else SCALED_VIT_RULES
    decoder = _MASK2FORMER_RULES if config.decoder_type == "mask2former" else _UPERNET_RULES
    return (*under("backbone.", "encoder.", (*ADAPTER_RULES, *encoder)), *decoder)


def vit_adapter_transforms(config: VitAdapterConfig) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
    """The first position embedding belongs to a class token that the plain ViT encoder does not have."""
    return {} if config.use_class_token else {_POSITION_EMBEDDINGS: lambda embeddings: embeddings[:, 1:]}


def head_of(config: VitAdapterConfig) -> str:
    """Which of `HEADS` a configuration has."""
    return config.decoder_type


def count_classes(state_dict: Mapping[str, torch.Tensor]) -> int | None:
    """Number of classes of a ViT-Adapter checkpoint, read from its classifier; `None` if it has none."""
    if _MASK2FORMER_CLASSIFIER in state_dict:
        rows = size_along(state_dict[_MASK2FORMER_CLASSIFIER], 0)
        return None if rows is None else rows - 1  # the last row is "no object"
    classifier = state_dict.get(_UPERNET_CLASSIFIER)
    return None if classifier is None else size_along(classifier, 0)


__all__ = [
    "ADAPTER_RULES",
    "DEFORMABLE_ATTENTION_RULES",
    "HEADS",
    "TORCH_ATTENTION_RULES",
    "count_classes",
    "head_of",
    "vit_adapter_rules",
    "vit_adapter_transforms",
]
