"""Means, standard deviations and the rescale factor may be written as integers, as JSON and YAML do."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoImageProcessor

from segvit_hf import SegVitImageProcessor
from segvit_hf.architectures import ARCHITECTURES

PHOTO = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
INTEGERS = {"image_mean": [0, 0, 0], "image_std": [1, 1, 1], "rescale_factor": 1}
FLOATS = {"image_mean": [0.0, 0.0, 0.0], "image_std": [1.0, 1.0, 1.0], "rescale_factor": 1.0}
CLASSES = [kind for each in ARCHITECTURES for kind in (each.image_processor, each.image_processor_pil)]


def pixel_values(image_processor: Any, **fields: Any) -> torch.Tensor:
    return torch.as_tensor(image_processor(PHOTO, return_tensors="pt", **fields).pixel_values)


@pytest.mark.parametrize("kind", CLASSES)
def test_integers_are_read_as_floats(kind: type) -> None:
    expected = pixel_values(kind(**FLOATS))
    assert torch.equal(pixel_values(kind(**INTEGERS)), expected)
    assert torch.equal(pixel_values(kind(), **INTEGERS), expected)
    assert kind(image_mean=0).image_mean == 0.0


def test_a_saved_processor_may_hold_integers(tmp_path: Path) -> None:
    SegVitImageProcessor().save_pretrained(tmp_path)
    file = tmp_path / "preprocessor_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **INTEGERS}))
    image_processor = AutoImageProcessor.from_pretrained(tmp_path)
    assert torch.equal(pixel_values(image_processor), pixel_values(SegVitImageProcessor(**FLOATS)))


@pytest.mark.parametrize("fields", [{"image_mean": "black"}, {"image_std": [True, True, True]}, {"image_mean": ["0"]}])
def test_what_is_no_number_is_still_refused(fields: dict[str, Any]) -> None:
    with pytest.raises((StrictDataclassError, TypeError), match=next(iter(fields))):
        SegVitImageProcessor(**fields)
