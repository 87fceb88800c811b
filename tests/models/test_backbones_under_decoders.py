"""Every family of transformers backbones under every decoder: any size, training, saved in one folder."""

from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, AutoModelForSemanticSegmentation, PreTrainedModel

from tests.models.architectures import ADAPTER, ATM_DECODER, MASK2FORMER, NUM_LABELS, SETR_DECODER, UPERNET
from tests.models.backbones import SMALL_BACKBONES

DECODERS: dict[str, dict[str, Any]] = {
    "linear-head": {"model_type": "linear_head"},
    "segvit": {"model_type": "segvit", **ATM_DECODER},
    "segmenter-mask": {"model_type": "segmenter"},
    "segmenter-linear": {"model_type": "segmenter", "decoder_type": "linear"},
    "setr-naive": {"model_type": "setr", **SETR_DECODER, "decoder_type": "naive"},
    "setr-pup": {"model_type": "setr", **SETR_DECODER, "decoder_type": "pup"},
    "setr-mla": {"model_type": "setr", **SETR_DECODER, "decoder_type": "mla"},
    "vit-adapter-upernet": {"model_type": "vit_adapter", **ADAPTER, **UPERNET},
    "vit-adapter-mask2former": {"model_type": "vit_adapter", **ADAPTER, **MASK2FORMER},
}


def build(decoder: str, backbone: str, **fields: Any) -> PreTrainedModel:
    arguments = {**DECODERS[decoder], "backbone_config": SMALL_BACKBONES[backbone], "num_labels": NUM_LABELS, **fields}
    return AutoModelForSemanticSegmentation.from_config(AutoConfig.for_model(**arguments)).eval()


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("backbone", SMALL_BACKBONES)
def test_any_size_trains_and_is_saved_in_one_folder(decoder: str, backbone: str, tmp_path: Path) -> None:
    model = build(decoder, backbone, freeze_backbone=False)
    pixel_values = torch.randn(1, 3, 75, 50)
    with torch.no_grad():
        logits = model(pixel_values).logits
    assert logits.shape == (1, NUM_LABELS, 75, 50)
    loss = model.train()(torch.randn(2, 3, 75, 50), labels=torch.randint(NUM_LABELS, (2, 75, 50))).loss
    loss.backward()
    gradients = [parameter.grad for parameter in model.encoder.backbone.parameters() if parameter.grad is not None]
    assert any(gradient.abs().max() > 0 for gradient in gradients)
    model.save_pretrained(tmp_path)
    loaded, report = AutoModelForSemanticSegmentation.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(loaded(pixel_values).logits, model(pixel_values).logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("decoder", ["linear-head", "segvit", "segmenter-mask", "setr-pup", "vit-adapter-upernet"])
def test_the_padding_is_cut_off_the_logits(decoder: str) -> None:
    model = build(decoder, "dinov2")
    pixel_values = torch.randn(1, 3, 50, 61)
    divisor = 32 if decoder.startswith("vit-adapter") else 14
    padded = torch.nn.functional.pad(pixel_values, (0, -61 % divisor, 0, -50 % divisor))
    with torch.no_grad():
        expected = model(padded).logits[:, :, :50, :61]
        torch.testing.assert_close(model(pixel_values).logits, expected)


@pytest.mark.parametrize("decoder", ["linear-head", "segvit", "segmenter-mask", "setr-pup"])
def test_logits_of_an_input_padded_around_are_resized(decoder: str) -> None:
    model = build(decoder, "dinov2", backbone_padding="center")
    pixel_values = torch.randn(1, 3, 50, 61)
    padded = torch.nn.functional.pad(pixel_values, (4, 5, 3, 3))
    with torch.no_grad():
        maps = model.neck(model.encoder(padded).feature_maps)
        torch.testing.assert_close(model(pixel_values).logits, model.decoder(maps, (50, 61)).logits)


def test_vit_adapter_freezes_its_backbone_unless_told_otherwise(tmp_path: Path) -> None:
    model = build("vit-adapter-upernet", "dinov3").train()
    model(torch.randn(2, 3, 64, 64), labels=torch.zeros(2, 64, 64, dtype=torch.int64)).loss.backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == name.startswith("encoder.backbone."), name
    assert not model.encoder.backbone.training
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSemanticSegmentation.from_pretrained(tmp_path)
    assert not any(parameter.requires_grad for parameter in loaded.encoder.backbone.parameters())
    assert all(parameter.requires_grad for parameter in loaded.decoder.parameters())


def test_the_adapter_leaves_the_backbone_as_it_is() -> None:
    model = build("vit-adapter-upernet", "dinov3", encoder_out_indices=[0, 1, 2, 3])
    pixel_values = torch.randn(1, 3, 64, 96)
    seen: list[torch.Tensor] = []
    for interaction in model.encoder.interactions:
        interaction.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[1]))
    with torch.no_grad():
        model(pixel_values)
        maps = model.encoder.backbone(pixel_values).feature_maps
    for patches, feature_map in zip(seen, maps, strict=True):
        assert torch.equal(patches, feature_map.flatten(2).transpose(1, 2))


@pytest.mark.parametrize("backbone", ["dinov2", "dinov3"])
def test_patches_and_pyramid_lie_over_each_other(backbone: str) -> None:
    """A horizontal ramp of patches is the same ramp, in pixels, on every map of the pyramid."""
    encoder = build("vit-adapter-upernet", backbone).encoder
    size = encoder.config.patch_size
    columns = -(-192 // size)
    centers = (torch.arange(columns) + 0.5) * size
    for stride in (4, 8, 16, 32):
        resized = encoder.resize_vit_map(
            centers.expand(1, 1, columns, columns), (192 // stride, 192 // stride), stride
        )
        expected = (torch.arange(192 // stride) + 0.5) * stride
        inner = (expected > size) & (expected < 192 - 2 * size)
        torch.testing.assert_close(resized[0, 0, 0][inner], expected[inner], atol=1e-3, rtol=0)
    points = encoder.geometry(torch.zeros(1, 3, 192, 192), (columns, columns)).extraction.reference_points[0, :24]
    torch.testing.assert_close(points[:, 0] * columns * size, (torch.arange(24) + 0.5) * 8)


def test_what_needs_the_inside_of_our_own_vit_is_refused() -> None:
    with pytest.raises(StrictDataclassError, match="shrink_index: expected None, for with a backbone_config"):
        build("segvit", "dinov2", shrink_index=2)
    with pytest.raises(StrictDataclassError, match="backbone_padding: expected 'end' with an adapter"):
        build("vit-adapter-upernet", "dinov2", backbone_padding="center")
    with pytest.raises(StrictDataclassError, match="injector_init_value: expected 0.0"):
        build("vit-adapter-upernet", "dinov2", injector_init_value=1.0)
