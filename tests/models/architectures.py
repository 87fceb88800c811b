"""Small models of every architecture, for the tests of what all of them must do."""

from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForSemanticSegmentation, PreTrainedModel

import segvit_hf  # noqa: F401  registers the architectures
from tests.models.backbones import SMALL_BACKBONES

NUM_LABELS = 5
ENCODER = {
    "image_size": 64,
    "patch_size": 16,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "num_labels": NUM_LABELS,
}
ATM_DECODER = {"decoder_hidden_size": 16, "decoder_num_layers": 2, "decoder_num_attention_heads": 2}
ADAPTER = {"spatial_prior_hidden_size": 8, "adapter_num_attention_heads": 2}
BEIT = {
    "use_class_token": True,
    "use_position_embeddings": False,
    "use_relative_position_bias": True,
    "layer_scale_init_value": 0.1,
    "adapter_value_ratio": 0.5,
}
UPERNET = {"decoder_hidden_size": 16, "auxiliary_hidden_size": 16}
MASK2FORMER = {
    "decoder_type": "mask2former",
    "decoder_hidden_size": 32,
    "num_queries": 10,
    "pixel_decoder_num_layers": 1,
    "pixel_decoder_num_attention_heads": 2,
    "pixel_decoder_intermediate_size": 32,
    "decoder_num_layers": 3,
    "decoder_num_attention_heads": 2,
    "decoder_intermediate_size": 32,
    "num_points": 64,
}

SETR_DECODER = {"decoder_hidden_size": 16, "mla_head_hidden_size": 8}


def backbone(name: str) -> dict[str, Any]:
    """The fields of a small transformers backbone in the place of the ViT."""
    config = SMALL_BACKBONES[name]
    return {"backbone_config": config.to_dict(), "image_size": config.image_size}


@dataclass(frozen=True)
class SmallModel:
    """
    A model small enough for any test, by model type and configuration fields.

    `half_precision_tolerance`: how much 16-bit logits may differ, as a share of the largest.
    """

    model_type: str
    fields: dict[str, Any] = field(default_factory=dict)
    half_precision_tolerance: float = 0.05

    def build(self, seed: int = 0, **overrides: Any) -> PreTrainedModel:
        """The model with weights that depend on `seed` only, in eval mode."""
        config = AutoConfig.for_model(self.model_type, **{**ENCODER, **self.fields, **overrides})
        torch.manual_seed(seed)
        return AutoModelForSemanticSegmentation.from_config(config).eval()


# What DINOv2's ViT-g has.
GATED = {"use_gated_mlp": True, "hidden_act": "silu", "layer_scale_init_value": 1.0, "use_class_token": True}

SMALL_MODELS = {
    "segvit": SmallModel(
        "segvit",
        {**ATM_DECODER, "encoder_out_indices": [1, 2, 3], "num_decoder_stages": 3},
    ),
    "segvit-shrunk": SmallModel(
        "segvit",
        {
            **ATM_DECODER,
            "encoder_out_indices": [1, 3],
            "num_decoder_stages": 2,
            "shrink_index": 2,
            "use_token_pyramid": True,
        },
    ),
    "segmenter": SmallModel("segmenter"),
    "segmenter-linear": SmallModel("segmenter", {"decoder_type": "linear", "use_distillation_token": True}),
    "setr-naive": SmallModel("setr", {**SETR_DECODER, "decoder_type": "naive"}),
    "setr-pup": SmallModel("setr", {**SETR_DECODER, "decoder_type": "pup"}),
    "setr-mla": SmallModel("setr", {**SETR_DECODER, "decoder_type": "mla"}),
    "vit-adapter-upernet": SmallModel("vit_adapter", {**ADAPTER, **UPERNET}),
    # Which tokens a query sees depends on signs of mask logits, some of which 16 bits turn.
    "vit-adapter-beit-mask2former": SmallModel("vit_adapter", {**ADAPTER, **BEIT, **MASK2FORMER}, 0.15),
    "vit-adapter-patch-14-mask2former": SmallModel(
        "vit_adapter", {**ADAPTER, **GATED, **MASK2FORMER, "patch_size": 14, "image_size": 70}, 0.15
    ),
    "linear-head": SmallModel("linear_head"),
    "linear-head-four-layers": SmallModel(
        "linear_head",
        {
            **GATED,
            "encoder_out_indices": [0, 1, 2, 3],
            "backbone_padding": "center",
            "patch_size": 14,
            "image_size": 70,
        },
    ),
    "linear-head-cut": SmallModel("linear_head", {"backbone_padding": "cut", "use_batch_norm": False}),
}

# The same architectures on transformers backbones, for the tests of what doesn't depend on the package's own ViT.
SMALL_MODELS_ON_BACKBONES = {
    "segvit-dinov2": SmallModel(
        "segvit", {**ATM_DECODER, **backbone("dinov2"), "encoder_out_indices": [1, 3], "num_decoder_stages": 2}
    ),
    "setr-mla-dinov3": SmallModel("setr", {**SETR_DECODER, **backbone("dinov3"), "decoder_type": "mla"}),
    "vit-adapter-dinov2-upernet": SmallModel(
        "vit_adapter", {**ADAPTER, **UPERNET, **backbone("dinov2"), "freeze_backbone": False}
    ),
}
