"""Photos of every usual kind are read as cv2.imread would read them, in RGB order."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from segvit_hf.image_processing.processor import (
    SemanticSegmentationImageProcessor,
    SemanticSegmentationImageProcessorPil,
)

RAW = {"do_resize": False, "do_rescale": False, "do_normalize": False}
RGB = np.random.default_rng(0).integers(0, 256, (11, 17, 3), dtype=np.uint8)
GRAY = RGB[..., 0]
ALPHA = np.random.default_rng(1).integers(0, 256, (11, 17, 1), dtype=np.uint8)
SIXTEEN_BITS = GRAY.astype(np.uint16) * 256 + 77


def pixels_of(image: Any, **kwargs: Any) -> np.ndarray:
    """What the processor makes of a photo without resize and normalization, as (height, width, channels)."""
    processor = SemanticSegmentationImageProcessor(**RAW)
    return processor(image, return_tensors="np", **kwargs).pixel_values[0].transpose(1, 2, 0)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        pytest.param(Image.fromarray(RGB), RGB, id="RGB"),
        pytest.param(Image.fromarray(np.concatenate([RGB, ALPHA], -1)), RGB, id="RGBA loses alpha"),
        pytest.param(Image.fromarray(GRAY), np.stack([GRAY] * 3, -1), id="L"),
        pytest.param(
            Image.fromarray(np.concatenate([RGB[..., :1], ALPHA], -1), "LA"), np.stack([GRAY] * 3, -1), id="LA"
        ),
        pytest.param(
            Image.fromarray(GRAY > 99), np.stack([(GRAY > 99) * np.uint8(255)] * 3, -1), id="1 becomes 0 and 255"
        ),
        pytest.param(Image.fromarray(SIXTEEN_BITS), np.stack([GRAY] * 3, -1), id="I;16 keeps the upper 8 bits"),
        pytest.param(Image.fromarray(SIXTEEN_BITS.astype(np.int32)), np.stack([GRAY] * 3, -1), id="I with 16 bits"),
        pytest.param(Image.fromarray(GRAY.astype(np.int32)), np.stack([GRAY] * 3, -1), id="I with 8 bits"),
        pytest.param(Image.fromarray(GRAY.astype(np.float32)), np.stack([GRAY] * 3, -1), id="F"),
        pytest.param(RGB, RGB, id="numpy, channels last"),
        pytest.param(RGB.transpose(2, 0, 1), RGB, id="numpy, channels first"),
        pytest.param(GRAY, np.stack([GRAY] * 3, -1), id="numpy, no channels"),
        pytest.param(SIXTEEN_BITS, np.stack([GRAY] * 3, -1), id="numpy uint16"),
        pytest.param(SIXTEEN_BITS.astype(">u2"), np.stack([GRAY] * 3, -1), id="numpy big-endian uint16"),
        pytest.param(RGB[:, ::-1], RGB[:, ::-1], id="numpy with negative strides"),
        pytest.param(np.concatenate([RGB, ALPHA], -1), RGB, id="numpy RGBA loses alpha"),
        pytest.param(RGB.astype(np.int64), RGB, id="numpy int64"),
        pytest.param(torch.from_numpy(RGB), RGB, id="torch, channels last"),
        pytest.param(torch.from_numpy(RGB).permute(2, 0, 1), RGB, id="torch, channels first"),
    ],
)
def test_photo_kinds(image: Any, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(pixels_of(image), expected.astype(np.float32))


def test_palette_images_show_their_colors() -> None:
    image = Image.fromarray(GRAY % 3, "P")
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    expected = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90]])[GRAY % 3]
    np.testing.assert_array_equal(pixels_of(image), expected)


def test_cmyk_images_are_converted() -> None:
    image = Image.fromarray(RGB).convert("CMYK")
    np.testing.assert_array_equal(pixels_of(image), np.array(image.convert("RGB")))


@pytest.mark.parametrize("name", ["photo.png", "photo.tiff"])
def test_files_of_16_bits_keep_their_upper_8_bits(tmp_path: Path, name: str) -> None:
    Image.fromarray(SIXTEEN_BITS).save(tmp_path / name)
    for path in (tmp_path / name, str(tmp_path / name)):
        np.testing.assert_array_equal(pixels_of(path), np.stack([GRAY] * 3, -1))


def test_files_obey_the_exif_orientation(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise
    Image.fromarray(RGB).save(tmp_path / "photo.png", exif=exif)
    np.testing.assert_array_equal(pixels_of(tmp_path / "photo.png"), np.rot90(RGB, -1))


def test_float_images_in_either_range_give_the_same_input() -> None:
    processor = SemanticSegmentationImageProcessor(do_resize=False)
    expected = processor(RGB, return_tensors="pt").pixel_values
    for image in (RGB / 255, RGB.astype(np.float32), (RGB / 255).astype(np.float16)):
        pixel_values = processor(image, return_tensors="pt").pixel_values
        torch.testing.assert_close(pixel_values, expected, atol=1e-3 if image.dtype == np.float16 else 1e-6, rtol=0)


@pytest.mark.parametrize(
    "images",
    [
        [RGB, RGB],
        (Image.fromarray(RGB), torch.from_numpy(RGB)),
        np.stack([RGB, RGB]),
        torch.from_numpy(np.stack([RGB, RGB])).permute(0, 3, 1, 2),
        [[Image.fromarray(RGB)], [RGB]],
    ],
)
def test_lists_and_batches(images: Any) -> None:
    pixel_values = SemanticSegmentationImageProcessor(**RAW)(images, return_tensors="pt").pixel_values
    assert torch.equal(pixel_values, torch.from_numpy(np.stack([RGB, RGB])).permute(0, 3, 1, 2).float())


def test_flip_mirrors_what_the_network_sees() -> None:
    processor = SemanticSegmentationImageProcessor(size={"height": 7, "width": 9})
    maps = np.arange(187, dtype=np.uint8).reshape(11, 17)
    plain = processor(RGB, maps, return_tensors="pt")
    flipped = processor(RGB, maps, flip=True, return_tensors="pt")
    assert torch.equal(flipped.pixel_values, plain.pixel_values.flip(-1))
    assert torch.equal(flipped.labels, plain.labels.flip(-1))


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (np.zeros((0, 5, 3), np.uint8), ValueError, "without pixels"),
        (Image.new("RGB", (0, 4)), ValueError, "without pixels"),
        (np.zeros((5, 6, 7), np.uint8), ValueError, "cannot tell the channels"),
        (np.zeros((2, 2, 2, 2, 3), np.uint8), ValueError, "2, 3 or 4 dimensions"),
        (np.full((5, 5, 3), -1), ValueError, r"must lie in 0\.\.255, found -1\.\.-1"),
        (np.full((5, 5, 3), 300.0), ValueError, r"0\.\.1 or in 0\.\.255"),
        (np.full((5, 5, 3), np.nan), ValueError, "infinite or undefined"),
        (np.full((5, 5, 3), "a"), TypeError, "integers or floating-point"),
        ([], ValueError, "empty list"),
        (None, TypeError, "expected PIL images"),
        ([{"image": 1}], TypeError, "expected PIL images"),
        (Path("missing.png"), FileNotFoundError, r"missing\.png"),
    ],
)
def test_what_is_no_photo_is_refused(image: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        SemanticSegmentationImageProcessor()(image)


@pytest.mark.parametrize(
    ("init", "call", "error", "message"),
    [
        ({"shortest_edge": 512}, {}, TypeError, r"unknown arguments \['shortest_edge'\]"),
        ({}, {"normalize": True}, TypeError, r"unknown arguments \['normalize'\]"),
        ({"do_center_crop": True}, {}, ValueError, "do_center_crop=True is not supported"),
        ({}, {"do_pad": True}, ValueError, "do_pad=True is not supported"),
        ({}, {"data_format": "channels_last"}, ValueError, "channels first"),
        ({"resample": 3}, {}, ValueError, "resample must be bilinear or nearest"),
        ({"minimum_short_edge": "480"}, {}, Exception, "minimum_short_edge"),
        ({}, {"size": {"height": 5}}, ValueError, "height"),
        ({}, {"size_divisor": -1}, ValueError, "size_divisor"),
    ],
)
@pytest.mark.parametrize("backend", [SemanticSegmentationImageProcessor, SemanticSegmentationImageProcessorPil])
def test_unknown_and_unsupported_arguments_are_refused(
    backend: Any, init: dict[str, Any], call: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        backend(**init)(RGB, **call)


@pytest.mark.parametrize("fields", [{}, RAW, {"do_rescale": False}])
@pytest.mark.parametrize("image", [RGB, RGB.astype(np.float32), torch.from_numpy(RGB.copy()), RGB[..., :1]])
def test_the_callers_images_are_not_touched(image: Any, fields: dict[str, Any]) -> None:
    before = image.clone() if isinstance(image, torch.Tensor) else image.copy()
    processor = SemanticSegmentationImageProcessor(**fields)
    for return_tensors in ("pt", None):
        for pixel_values in processor([image], return_tensors=return_tensors).pixel_values:
            pixel_values += 1  # must not write through, either
    assert np.array_equal(np.asarray(image), np.asarray(before))
