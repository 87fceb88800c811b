"""Batches of photos of different sizes: padded at the bottom and right, with a mask that says where."""

from typing import Any

import numpy as np
import pytest
import torch

from segvit_hf.image_processing.processor import (
    SemanticSegmentationImageProcessor,
    SemanticSegmentationImageProcessorPil,
)

SIZES = [(30, 41), (52, 23)]
IMAGES = [np.random.default_rng(0).integers(1, 256, (*size, 3), dtype=np.uint8) for size in SIZES]
MAPS = [np.full(size, 3) for size in SIZES]


@pytest.mark.parametrize("return_tensors", ["pt", "np"])
@pytest.mark.parametrize("backend", [SemanticSegmentationImageProcessor, SemanticSegmentationImageProcessorPil])
def test_ragged_batches_are_padded_after_normalization(backend: Any, return_tensors: str) -> None:
    processor = backend(do_resize=False)
    batch = processor(IMAGES, MAPS, return_tensors=return_tensors)
    pixel_values, labels, pixel_mask = (
        torch.as_tensor(batch[name]) for name in ("pixel_values", "labels", "pixel_mask")
    )
    assert pixel_values.shape == (2, 3, 52, 41)
    assert (pixel_values.dtype, labels.dtype, pixel_mask.dtype) == (torch.float32, torch.int64, torch.int64)
    for index, (height, width) in enumerate(SIZES):
        alone = torch.as_tensor(processor(IMAGES[index], return_tensors=return_tensors).pixel_values)
        assert torch.equal(pixel_values[index, :, :height, :width], alone[0])
        inside = torch.zeros(52, 41, dtype=torch.bool)
        inside[:height, :width] = True
        assert torch.equal(pixel_mask[index], inside.long())
        assert pixel_values[index, :, ~inside].eq(0).all()
        assert torch.equal(labels[index], torch.where(inside, 3, 255))


def test_equal_sizes_need_no_mask() -> None:
    batch = SemanticSegmentationImageProcessor(size={"height": 8, "width": 8})(IMAGES, MAPS, return_tensors="pt")
    assert set(batch) == {"pixel_values", "labels"}
    assert batch.pixel_values.shape == (2, 3, 8, 8)


def test_without_tensors_nothing_is_padded() -> None:
    batch = SemanticSegmentationImageProcessor(do_resize=False)(IMAGES, MAPS)
    assert set(batch) == {"pixel_values", "labels"}
    assert [tuple(pixels.shape) for pixels in batch.pixel_values] == [(3, *size) for size in SIZES]
    assert [tuple(labels.shape) for labels in batch.labels] == SIZES
    arrays = SemanticSegmentationImageProcessorPil(do_resize=False)(IMAGES)
    assert all(isinstance(pixels, np.ndarray) for pixels in arrays.pixel_values)


def test_images_with_different_numbers_of_channels_do_not_fit_into_a_batch() -> None:
    processor = SemanticSegmentationImageProcessor(do_convert_rgb=False, do_normalize=False, do_resize=False)
    with pytest.raises(ValueError, match=r"equal numbers of channels, found \[1, 3\]"):
        processor([IMAGES[0], IMAGES[0][..., 0]], return_tensors="pt")
