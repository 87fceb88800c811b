"""Where an array has its channels: said by its shape, or by the caller, never guessed."""

from typing import Any

import numpy as np
import pytest
import torch

from segvit_hf import SegmenterImageProcessor, segment
from segvit_hf.image_processing.reading import read_image
from tests.models.architectures import SMALL_MODELS


def pixels(shape: tuple[int, ...], as_tensor: bool) -> Any:
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return torch.from_numpy(array) if as_tensor else array


@pytest.mark.parametrize("as_tensor", [False, True], ids=["array", "tensor"])
@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((3, 50, 60), (3, 50, 60)),
        ((1, 50, 60), (3, 50, 60)),
        ((4, 5, 5), (3, 5, 5)),
        ((50, 60, 3), (3, 50, 60)),
        ((50, 60, 1), (3, 50, 60)),
        ((5, 5, 4), (3, 5, 5)),
        ((2, 60, 3), (3, 2, 60)),
        ((3, 60, 2), (3, 60, 2)),
    ],
)
def test_a_shape_with_channels_at_one_end_is_clear(
    shape: tuple[int, ...], expected: tuple[int, ...], as_tensor: bool
) -> None:
    assert tuple(read_image(pixels(shape, as_tensor)).shape) == expected


@pytest.mark.parametrize("as_tensor", [False, True], ids=["array", "tensor"])
@pytest.mark.parametrize("shape", [(1, 50, 3), (3, 50, 3), (4, 50, 3), (3, 50, 1), (1, 1, 1), (3, 50, 4)])
def test_a_shape_with_channels_at_both_ends_has_to_be_told(shape: tuple[int, ...], as_tensor: bool) -> None:
    image = pixels(shape, as_tensor)
    with pytest.raises(ValueError, match=rf"cannot tell the channels of shape \({shape[0]}, .*input_data_format="):
        read_image(image)
    array = np.asarray(image)
    last = read_image(image, convert_to_rgb=False, input_data_format="channels_last").numpy()
    np.testing.assert_array_equal(last, array.transpose(2, 0, 1))
    first = read_image(image, convert_to_rgb=False, input_data_format="channels_first").numpy()
    np.testing.assert_array_equal(first, array)


def test_segment_and_the_processor_take_the_way_out() -> None:
    photo = pixels((1, 50, 3), as_tensor=False)
    model = SMALL_MODELS["segmenter"].build()
    image_processor = SegmenterImageProcessor(minimum_input_short_edge=64)
    with pytest.raises(ValueError, match="input_data_format"):
        segment(model, image_processor, photo)
    with pytest.raises(ValueError, match="input_data_format"):
        image_processor(photo)
    assert segment(model, image_processor, photo, input_data_format="channels_last").shape == (1, 50)
    assert segment(model, image_processor, photo, input_data_format="channels_first").shape == (50, 3)
    batch = SegmenterImageProcessor()(photo, input_data_format="channels_last", return_tensors="pt")
    assert batch.pixel_values.shape == (1, 3, 1, 50)
