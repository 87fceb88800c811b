"""A pretrained backbone under a new decoder: its weights arrive, and the image processor follows it."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForSemanticSegmentation,
    BeitModel,
    Dinov2ForImageClassification,
    Dinov2Model,
    DINOv3ViTModel,
    PreTrainedModel,
    SwinConfig,
    SwinModel,
    ViTConfig,
    VitDetModel,
    ViTModel,
)

from segvit_hf import (
    SegmenterForSemanticSegmentation,
    SegmenterImageProcessor,
    SegVitForSemanticSegmentation,
    SegVitImageProcessor,
    SetrForSemanticSegmentation,
    VitAdapterForSemanticSegmentation,
)
from tests.models.architectures import ADAPTER, ATM_DECODER, SETR_DECODER, UPERNET
from tests.models.backbones import SIZES, SMALL_BACKBONES

SAVED = {
    "dinov2": Dinov2Model,
    "dinov3": DINOv3ViTModel,
    "beit": BeitModel,
    "vitdet": VitDetModel,
}


def saved(model: PreTrainedModel, folder: Path) -> Path:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-0.1, 0.1)
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", SAVED)
def test_the_weights_of_a_pretrained_model_arrive(name: str, tmp_path: Path) -> None:
    pretrained = SAVED[name](SMALL_BACKBONES[name]).eval()
    saved(pretrained, tmp_path)
    model = SegVitForSemanticSegmentation.from_backbone(
        tmp_path, id2label={0: "road", 1: "sky"}, encoder_out_indices=[1, 2], num_decoder_stages=2, **ATM_DECODER
    )
    assert model.config.id2label == {0: "road", 1: "sky"}
    assert not model.training
    pixel_values = torch.randn(1, 3, 4 * model.config.patch_size, 3 * model.config.patch_size)
    with torch.no_grad():
        ours = model(pixel_values, output_hidden_states=True).hidden_states
        theirs = pretrained(pixel_values, output_hidden_states=True).hidden_states
    for one, other in zip(ours[:-1], theirs[:-1], strict=True):  # some models normalize the last one
        torch.testing.assert_close(one, other)


def test_a_model_with_a_classifier_serves_as_well(tmp_path: Path) -> None:
    pretrained = Dinov2ForImageClassification(SMALL_BACKBONES["dinov2"])
    saved(pretrained, tmp_path)
    model = SegmenterForSemanticSegmentation.from_backbone(tmp_path, num_labels=3)
    assert torch.equal(model.encoder.backbone.layernorm.weight, pretrained.dinov2.layernorm.weight)


@pytest.mark.parametrize(
    ("model_class", "fields"),
    [
        (SegmenterForSemanticSegmentation, {"decoder_type": "linear"}),
        (SetrForSemanticSegmentation, SETR_DECODER),
        (VitAdapterForSemanticSegmentation, {**ADAPTER, **UPERNET}),
    ],
)
def test_one_folder_holds_backbone_and_decoder(
    model_class: type[PreTrainedModel], fields: dict, tmp_path: Path
) -> None:
    source = saved(Dinov2Model(SMALL_BACKBONES["dinov2"]), tmp_path / "backbone")
    model = model_class.from_backbone(source, num_labels=3, **fields)
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    model.save_pretrained(tmp_path / "model")
    names = {f"encoder.backbone.{name}" for name in load_file(source / "model.safetensors")}
    assert names <= set(load_file(tmp_path / "model" / "model.safetensors"))
    (source / "model.safetensors").unlink()
    loaded = AutoModelForSemanticSegmentation.from_pretrained(tmp_path / "model")
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


def test_missing_weights_are_refused(tmp_path: Path) -> None:
    saved(Dinov2Model(SMALL_BACKBONES["dinov2"]), tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["layernorm.bias"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        ValueError, match=r"weights of a Dinov2Backbone, found none for 1 names, such as layernorm.bias"
    ):
        SegmenterForSemanticSegmentation.from_backbone(tmp_path)


@pytest.mark.parametrize(
    ("pretrained", "message"),
    [
        (SwinModel(SwinConfig(embed_dim=8, depths=[1, 1], num_heads=[1, 1])), "pyramid of strides"),
        (ViTModel(ViTConfig(**SIZES, intermediate_size=64, image_size=32)), "ViTConfig without out_indices"),
    ],
)
def test_what_is_no_backbone_of_one_stride_is_refused(
    pretrained: PreTrainedModel, message: str, tmp_path: Path
) -> None:
    pretrained.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=message):
        SegmenterForSemanticSegmentation.from_backbone(tmp_path)


def test_the_image_processor_follows_the_backbone(tmp_path: Path) -> None:
    saved(Dinov2Model(SMALL_BACKBONES["dinov2"]), tmp_path / "dinov2")
    processor = SegVitImageProcessor.from_backbone(tmp_path / "dinov2")
    assert dict(processor.size) == {"shortest_edge": 518, "longest_edge": 2072}
    assert list(processor.image_mean) == [0.485, 0.456, 0.406]
    own = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6], "size": {"height": 7, "width": 7}}
    (tmp_path / "dinov2" / "preprocessor_config.json").write_text(json.dumps(own))
    processor = SegVitImageProcessor.from_backbone(tmp_path / "dinov2", size={"shortest_edge": 280})
    assert (list(processor.image_mean), list(processor.image_std)) == ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
    assert dict(processor.size) == {"shortest_edge": 280}
    saved(BeitModel(SMALL_BACKBONES["beit"]), tmp_path / "beit")
    processor = SegmenterImageProcessor.from_backbone(tmp_path / "beit")
    assert list(processor.image_mean) == [0.5, 0.5, 0.5]
    assert processor.do_resize
    assert dict(processor.size) == {"shortest_edge": 512, "longest_edge": 2048}


def test_timms_models_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    create_model = timm.create_model
    asked = []

    def without_download(name: str, pretrained: bool = False, **kwargs: object) -> torch.nn.Module:
        asked.append((name, pretrained))
        return create_model(name, **kwargs)

    monkeypatch.setattr(timm, "create_model", without_download)
    model = SegmenterForSemanticSegmentation.from_backbone("timm/test_vit", num_labels=3)
    assert ("test_vit", True) in asked
    assert model(torch.randn(1, 3, 40, 50)).logits.shape == (1, 3, 40, 50)
    assert list(SegmenterImageProcessor.from_backbone("timm/test_vit").image_mean) == [0.5, 0.5, 0.5]
