"""The resize and the scales of DINOv3's evaluation."""

import numpy as np
import pytest
import torch
from PIL import Image

from segvit_hf import LinearHeadImageProcessor, LinearHeadImageProcessorPil
from segvit_hf.image_processing.pil_resize import resize_pil_bilinear
from segvit_hf.image_processing.size_rules import SizeRule

SIZES = [(40, 61), (7, 9), (90, 50), (55, 80)]


@pytest.mark.parametrize("size", SIZES)
def test_uint8_photos_are_resized_as_pillow_does(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (55, 80, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BILINEAR))
    found = resize_pil_bilinear(torch.from_numpy(pixels).permute(2, 0, 1), *size)
    assert np.array_equal(found.permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize("size", SIZES)
def test_float_photos_are_antialiased_without_rounding(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (55, 80), dtype=np.uint8).astype(np.float32)
    expected = np.asarray(Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BILINEAR))
    found = resize_pil_bilinear(torch.from_numpy(pixels)[None], *size)
    np.testing.assert_allclose(found[0].numpy(), expected, atol=0.01)


@pytest.mark.parametrize("processor_class", [LinearHeadImageProcessor, LinearHeadImageProcessorPil])
def test_the_method_is_a_field_of_processor_and_call(processor_class: type) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (55, 80, 3), dtype=np.uint8)
    fields = {"size": {"shortest_edge": 20}, "do_normalize": False, "do_rescale": False}
    expected = np.asarray(Image.fromarray(pixels).resize((29, 20), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    opencv, pil = processor_class(**fields), processor_class(**fields, resize_method="pil")
    found = pil(pixels, return_tensors="np").pixel_values[0]
    assert np.array_equal(found, expected)
    assert np.array_equal(opencv(pixels, resize_method="pil", return_tensors="np").pixel_values[0], found)
    assert np.array_equal(
        pil(pixels, resize_method="opencv", return_tensors="np").pixel_values[0],
        opencv(pixels, return_tensors="np").pixel_values[0],
    )
    assert not np.array_equal(opencv(pixels, return_tensors="np").pixel_values[0], found)


def test_short_sides_of_the_views_are_dinov3s() -> None:
    rule = SizeRule(size={"shortest_edge": 896}, small_scale_divisor=32)
    sides = [rule.geometry(500, 700, scale).content[0] for scale in (0.9, 0.95, 1.0, 1.05, 1.1)]
    assert sides == [832, 864, 896, 940, 985]
    assert rule.geometry(500, 700, 0.9).content == (832, int(832 * 700 / 500 + 0.5))
