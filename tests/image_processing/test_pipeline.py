"""`pipeline("image-segmentation")` gives the label map of `segment`, for files and for PIL images."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import pipeline

from segvit_hf import (
    SegVitConfig,
    SegVitForSemanticSegmentation,
    SegVitImageProcessor,
    SegVitImageProcessorPil,
    segment,
)
from tests.reference import FIXTURES

PHOTO = FIXTURES / "photos" / "coffee.png"


@pytest.fixture(scope="module")
def model() -> SegVitForSemanticSegmentation:
    torch.manual_seed(0)
    config = SegVitConfig(
        image_size=32,
        patch_size=8,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        encoder_out_indices=[0, 1],
        decoder_hidden_size=16,
        decoder_num_layers=1,
        decoder_num_attention_heads=2,
        num_decoder_stages=2,
        num_labels=6,
        initializer_range=0.5,
        sliding_window={"crop_size": [32, 32], "stride": [24, 24]},
    )
    return SegVitForSemanticSegmentation(config).eval()


@pytest.mark.parametrize("backend", [SegVitImageProcessor, SegVitImageProcessorPil])
@pytest.mark.parametrize("as_file", [True, False])
def test_pipeline_gives_the_same_label_map(model: SegVitForSemanticSegmentation, backend: Any, as_file: bool) -> None:
    processor = backend(size={"shortest_edge": 48, "longest_edge": 192})
    photo = str(PHOTO) if as_file else Image.open(PHOTO)
    expected = segment(model, processor, photo)
    assert expected.unique().numel() > 1
    label_map = np.full(expected.shape, -1)
    for region in pipeline("image-segmentation", model=model, image_processor=processor)(photo):
        label_map[np.array(region["mask"]) > 0] = model.config.label2id[region["label"]]
    np.testing.assert_array_equal(label_map, expected)


def test_saved_model_and_processor_load_into_a_pipeline(model: SegVitForSemanticSegmentation, tmp_path: Path) -> None:
    processor = SegVitImageProcessor(size={"shortest_edge": 48, "longest_edge": 192})
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    regions = pipeline("image-segmentation", model=str(tmp_path))(str(PHOTO))
    expected = segment(model, processor, PHOTO)
    assert [region["label"] for region in regions] == [model.config.id2label[i] for i in expected.unique().tolist()]
    assert [np.count_nonzero(region["mask"]) for region in regions] == expected.unique(return_counts=True)[1].tolist()
