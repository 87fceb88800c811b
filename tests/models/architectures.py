"""Small models of every architecture, for the tests of what all of them must do."""

from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForSemanticSegmentation, PreTrainedModel

import segvit_hf  # noqa: F401  registers the architectures

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

SETR_DECODER = {"decoder_hidden_size": 16, "mla_head_hidden_size": 8}


@dataclass(frozen=True)
class SmallModel:
    """A model small enough for any test, by model type and configuration fields."""

    model_type: str
    fields: dict[str, Any] = field(default_factory=dict)

    def build(self, seed: int = 0, **overrides: Any) -> PreTrainedModel:
        """The model with weights that depend on `seed` only, in eval mode."""
        config = AutoConfig.for_model(self.model_type, **{**ENCODER, **self.fields, **overrides})
        torch.manual_seed(seed)
        return AutoModelForSemanticSegmentation.from_config(config).eval()


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
}
