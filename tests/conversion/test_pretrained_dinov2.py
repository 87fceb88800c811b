"""Starting an encoder from DINOv2: its own files, timm's models and transformers' folders."""

from pathlib import Path

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from transformers import Dinov2Config, Dinov2Model

from segvit_hf import LinearHeadConfig, LinearHeadForSemanticSegmentation
from segvit_hf.conversion import load_pretrained_encoder
from tests.conversion.test_encoder_beside_head import released_parts
from tests.models.dino_models import convert_dino

SIZES = {"image_size": 70, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "num_labels": 4}


@pytest.mark.parametrize("name", ["tiny-linear-native", "tiny-ms-swiglu-pad"])
def test_the_originals_file_fills_the_encoder(name: str) -> None:
    case, converted = convert_dino("dinov2", name)
    model = LinearHeadForSemanticSegmentation(converted.model.config).eval()
    _, weights = released_parts(case)
    report = load_pretrained_encoder(model, weights)
    assert set(report) == set(weights)
    assert report["mask_token"].startswith("dropped: ")
    if "blocks.0.mlp.w12.weight" in weights:
        layer = "encoder.layers.0.mlp"
        assert report["blocks.0.mlp.w12.weight"] == f"{layer}.gate_proj.weight; {layer}.up_proj.weight"
    expected = converted.model.encoder.state_dict()
    assert all(torch.equal(tensor, expected[key]) for key, tensor in model.encoder.state_dict().items())


def test_timms_model_fills_the_encoder() -> None:
    theirs = VisionTransformer(
        img_size=70, patch_size=14, embed_dim=32, depth=3, num_heads=2, num_classes=0, init_values=0.5
    ).eval()
    model = LinearHeadForSemanticSegmentation(LinearHeadConfig(**SIZES, intermediate_size=128)).eval()
    load_pretrained_encoder(model, theirs.state_dict())
    pixel_values = torch.randn(1, 3, 70, 70)
    with torch.no_grad():
        expected = theirs.forward_features(pixel_values)
        torch.testing.assert_close(model.encoder(pixel_values).last_hidden_state, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("is_gated", [False, True])
def test_a_folder_of_transformers_fills_the_encoder(is_gated: bool, tmp_path: Path) -> None:
    theirs = Dinov2Model(
        Dinov2Config(
            image_size=70, patch_size=14, hidden_size=32, num_hidden_layers=3, num_attention_heads=2,
            mlp_ratio=4, use_swiglu_ffn=is_gated, layerscale_value=0.5,
        )
    ).eval()  # fmt: skip
    theirs.save_pretrained(tmp_path)
    gated = {"use_gated_mlp": True, "hidden_act": "silu", "intermediate_size": 88}
    config = LinearHeadConfig(**SIZES, **(gated if is_gated else {"intermediate_size": 128}))
    model = LinearHeadForSemanticSegmentation(config).eval()
    load_pretrained_encoder(model, tmp_path)
    pixel_values = torch.randn(1, 3, 70, 70)  # the stored grid, where the rules for position embeddings agree
    with torch.no_grad():
        expected = theirs(pixel_values).last_hidden_state
        torch.testing.assert_close(model.encoder(pixel_values).last_hidden_state, expected, rtol=1e-4, atol=1e-5)
