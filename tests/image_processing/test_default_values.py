"""What a processor does when nothing is said, by the originals' configurations."""

from typing import Any

import numpy as np
import pytest
import torch

import segvit_hf

HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
KEEP_RATIO = {"do_resize": True, "size": {"shortest_edge": 512, "longest_edge": 2048}}
SHARED = {
    "do_convert_rgb": True,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "do_reduce_labels": False,
    "ignore_index": 255,
    "minimum_short_edge": None,
    "multi_scale_minimum_short_edge": None,
    "size_divisor": None,
    "minimum_padded_size": None,
    "minimum_input_short_edge": None,
    "small_scale_divisor": None,
    "resize_method": "opencv",
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "SegVit": {**SHARED, **HALF, **KEEP_RATIO},
    "Segmenter": {**SHARED, **HALF, "do_resize": False},
    "Setr": {**SHARED, **IMAGENET, **KEEP_RATIO},
    "LinearHead": {**SHARED, **IMAGENET, "do_resize": True, "size": {"shortest_edge": 512}},
    "VitAdapter": {**SHARED, **IMAGENET, **KEEP_RATIO, "size_divisor": 32},
}


def plain(value: Any) -> Any:
    """Sizes and tuples, which releases of transformers hold differently, as JSON has them."""
    if isinstance(value, tuple):
        return list(value)
    return dict(value) if hasattr(value, "items") else value


@pytest.mark.parametrize("backend", ["", "Pil"])
@pytest.mark.parametrize("name", DEFAULTS)
def test_default_values(name: str, backend: str) -> None:
    image_processor = getattr(segvit_hf, f"{name}ImageProcessor{backend}")()
    for field, value in DEFAULTS[name].items():
        assert plain(getattr(image_processor, field)) == value, field
    assert int(image_processor.resample) == 2  # bilinear


@pytest.mark.parametrize("backend", ["", "Pil"])
@pytest.mark.parametrize("name", DEFAULTS)
def test_pixels_are_normalized_by_the_default_values(name: str, backend: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    image_processor = getattr(segvit_hf, f"{name}ImageProcessor{backend}")(do_resize=False, size_divisor=None)
    found = torch.as_tensor(image_processor(pixels, return_tensors="pt").pixel_values)[0]
    mean, std = (torch.tensor(DEFAULTS[name][field])[:, None, None] for field in ("image_mean", "image_std"))
    expected = (torch.from_numpy(pixels).permute(2, 0, 1) / 255 - mean) / std
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
