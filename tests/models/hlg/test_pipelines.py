"""transformers' pipelines and Auto classes find HLG's models by their folders."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    AutoBackbone,
    AutoModelForImageClassification,
    AutoModelForObjectDetection,
    BitImageProcessor,
    pipeline,
)

from segvit_hf import (
    HlgBackbone,
    HlgConfig,
    HlgForImageClassification,
    HlgForObjectDetection,
    HlgForSemanticSegmentation,
    HlgImageProcessor,
    add_remote_code,
)
from segvit_hf.models.hlg.image_processing_hlg import classification_image_processor
from tests.models.hlg.test_trainer_hlg import NAMES, TINY

PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8))


@pytest.fixture(params=[False, True], ids=["plain", "remote-code"])
def with_remote_code(request: pytest.FixtureRequest) -> bool:
    return request.param


def test_classification(
    tmp_path: Path, with_remote_code: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    torch.manual_seed(0)
    model = HlgForImageClassification(HlgConfig(**TINY)).eval()
    model.save_pretrained(tmp_path)
    classification_image_processor().save_pretrained(tmp_path)
    if with_remote_code:
        add_remote_code(tmp_path)
    assert type(AutoModelForImageClassification.from_pretrained(tmp_path)) is HlgForImageClassification
    classifier = pipeline("image-classification", model=str(tmp_path))
    assert isinstance(classifier.image_processor, BitImageProcessor)
    found = classifier(PHOTO)
    assert {entry["label"] for entry in found} == set(NAMES)
    with torch.no_grad():
        scores = model(**classification_image_processor()(PHOTO, return_tensors="pt")).logits.softmax(-1)
    assert found[0]["score"] == pytest.approx(scores.max().item(), abs=1e-5)
    assert not [record.message for record in caplog.records if record.levelno >= logging.ERROR]


def test_detection(
    tmp_path: Path, with_remote_code: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    torch.manual_seed(0)
    model = HlgForObjectDetection(HlgConfig(**TINY)).eval()
    with torch.no_grad():
        model.detector.classification.output.weight.normal_(std=0.5)
    model.save_pretrained(tmp_path)
    processor = HlgImageProcessor(size={"shortest_edge": 64, "longest_edge": 128})
    processor.save_pretrained(tmp_path)
    if with_remote_code:
        add_remote_code(tmp_path)
    assert type(AutoModelForObjectDetection.from_pretrained(tmp_path)) is HlgForObjectDetection
    found = pipeline("object-detection", model=str(tmp_path))(PHOTO, threshold=0.02)
    assert 0 < len(found) <= 100
    with torch.no_grad():
        outputs = model(**processor(PHOTO, return_tensors="pt"))
    (result,) = processor.post_process_object_detection(outputs, 0.02, [(90, 120)])
    assert [entry["score"] for entry in found] == pytest.approx(result["scores"].tolist(), abs=1e-5)
    assert [list(entry["box"].values()) for entry in found] == result["boxes"].int().tolist()
    assert {entry["label"] for entry in found} <= set(NAMES)
    assert not [record.message for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("model_class", [HlgForSemanticSegmentation, HlgForImageClassification, HlgForObjectDetection])
def test_a_backbone_loads_the_encoder_of_any_model(
    tmp_path: Path, model_class: type[HlgForSemanticSegmentation]
) -> None:
    config = HlgConfig(**TINY, decoder_hidden_size=32, auxiliary_hidden_size=8)
    model = model_class(config).eval()
    model.save_pretrained(tmp_path)
    backbone, info = HlgBackbone.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values()), info
    pixel_values = torch.randn(1, 3, 70, 33)
    with torch.no_grad():
        for found, expected in zip(
            backbone(pixel_values).feature_maps, model.encoder(pixel_values).feature_maps, strict=True
        ):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert type(AutoBackbone.from_config(config)) is HlgBackbone
