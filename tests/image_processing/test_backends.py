"""Both backends compute the same pixels and read the same preprocessor_config.json."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor

import segvit_hf  # registers the processors
from segvit_hf.models.segvit.image_processing_segvit import SegVitImageProcessor, SegVitImageProcessorPil
from tests.reference import FIXTURES

PHOTO = FIXTURES / "photos" / "coffee.png"
FIELDS: dict[str, Any] = {
    "size": {"shortest_edge": 90, "longest_edge": 200},
    "minimum_short_edge": 64,
    "size_divisor": 32,
    "minimum_padded_size": 128,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
    "do_reduce_labels": True,
}
BACKENDS = {"torchvision": SegVitImageProcessor, "pil": SegVitImageProcessorPil}


@pytest.mark.parametrize("fields", [{}, FIELDS, {"do_resize": False, "minimum_input_short_edge": 500}])
@pytest.mark.parametrize("scale", [1.0, 0.75])
def test_backends_agree_exactly(fields: dict[str, Any], scale: float) -> None:
    scale = scale if fields.get("do_resize", True) else 1.0
    torchvision = SegVitImageProcessor(**fields)(PHOTO, scale=scale, return_tensors="pt")
    pil = SegVitImageProcessorPil(**fields)(PHOTO, scale=scale, return_tensors="pt")
    assert torch.equal(torchvision.pixel_values, pil.pixel_values)


@pytest.mark.parametrize("saved", BACKENDS)
@pytest.mark.parametrize("loaded", BACKENDS)
def test_one_file_serves_both_backends(saved: str, loaded: str, tmp_path: Path) -> None:
    processor = BACKENDS[saved](**FIELDS)
    processor.save_pretrained(tmp_path)
    content = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert content["image_processor_type"] == "SegVitImageProcessor"
    assert {name: content[name] for name in FIELDS} == FIELDS
    for reloaded in (
        BACKENDS[loaded].from_pretrained(tmp_path),
        AutoImageProcessor.from_pretrained(tmp_path, backend=loaded),
    ):
        assert type(reloaded) is BACKENDS[loaded]
        assert reloaded.to_dict() == {**processor.to_dict(), "image_processor_type": "SegVitImageProcessor"}
        assert np.array_equal(
            reloaded(PHOTO, return_tensors="np").pixel_values, processor(PHOTO, return_tensors="np").pixel_values
        )


def test_unknown_fields_in_a_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({"image_processor_type": "SegVitImageProcessor", "shortest_edge": 512})
    )
    with pytest.raises(TypeError, match="shortest_edge"):
        SegVitImageProcessor.from_pretrained(tmp_path)


def test_overrides_hold_for_one_call() -> None:
    processor = SegVitImageProcessor()
    image = Image.open(PHOTO)
    small = processor(image, size={"shortest_edge": 32, "longest_edge": 128}, return_tensors="pt").pixel_values
    assert small.shape[2:] == (32, 48)
    assert processor(image, return_tensors="pt").pixel_values.shape[2:] == (512, 768)


def test_pil_backend_runs_without_torchvision(tmp_path: Path) -> None:
    SegVitImageProcessorPil(**FIELDS).save_pretrained(tmp_path)
    script = """
import sys
sys.modules["torchvision"] = None
import numpy as np
from segvit_hf.models.segvit.image_processing_segvit import SegVitImageProcessorPil
processor = SegVitImageProcessorPil.from_pretrained(sys.argv[1])
np.save(sys.argv[3], processor(sys.argv[2], return_tensors="np").pixel_values)
"""
    command = [sys.executable, "-c", script, str(tmp_path), str(PHOTO), str(tmp_path / "pixels.npy")]
    environment = {"PYTHONPATH": str(Path(segvit_hf.__path__[0]).parent)}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 0, result.stderr
    expected = SegVitImageProcessor(**FIELDS)(PHOTO, return_tensors="np").pixel_values
    np.testing.assert_array_equal(np.load(tmp_path / "pixels.npy"), expected)
