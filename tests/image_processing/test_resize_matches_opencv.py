"""The resize gives OpenCV's pixels, bit for bit; the expected ones were made with cv2.resize."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from segvit_hf.image_processing.opencv_resize import normalize, resize_nearest, resize_uint8_bilinear
from segvit_hf.image_processing.processor import SemanticSegmentationImageProcessor
from tests.reference import FIXTURES

CASES = load_file(FIXTURES / "resize" / "cv2_resize.safetensors")
NUM_CASES = sum(name.endswith(".linear") for name in CASES)


def source_image(case: int) -> torch.Tensor:
    """The (3, height, width) image that cv2 was given."""
    height, width = CASES[f"{case}.source_size"].tolist()
    pixels = np.random.default_rng(case).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return torch.from_numpy(pixels).permute(2, 0, 1)


@pytest.mark.parametrize("case", range(NUM_CASES))
def test_uint8_bilinear_and_nearest_are_those_of_opencv(case: int) -> None:
    image, size, stride = source_image(case), CASES[f"{case}.target_size"].tolist(), int(CASES[f"{case}.stride"])
    for name, resize in (("linear", resize_uint8_bilinear), ("nearest", resize_nearest)):
        resized = resize(image, *size)
        assert resized.shape == (3, *size)
        assert torch.equal(resized[:, ::stride, ::stride].permute(1, 2, 0), CASES[f"{case}.{name}"])


def test_processor_resizes_as_opencv_and_normalizes_afterwards() -> None:
    processor = SemanticSegmentationImageProcessor(image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225])
    pixel_values = processor(source_image(0), return_tensors="pt").pixel_values[0]
    pixels = CASES["0.linear"].to(torch.float64)
    mean, std = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])
    expected = ((pixels - mean) / std).permute(2, 0, 1)
    torch.testing.assert_close(pixel_values[:, ::7, ::7].double(), expected, atol=1e-6, rtol=0)


def test_the_same_size_changes_nothing() -> None:
    image = source_image(3)
    assert torch.equal(resize_uint8_bilinear(image, *image.shape[1:]), image)


def test_float_images_are_resized_without_antialiasing_or_rounding() -> None:
    image = torch.rand(3, 40, 60)
    processor = SemanticSegmentationImageProcessor(size={"height": 17, "width": 20}, do_normalize=False)
    expected = torch.nn.functional.interpolate(image[None], (17, 20), mode="bilinear", align_corners=False)
    torch.testing.assert_close(processor(image, return_tensors="pt").pixel_values, expected, atol=1e-6, rtol=0)


def test_normalization_with_one_constant_for_all_channels() -> None:
    image = torch.arange(24, dtype=torch.uint8).reshape(3, 2, 4)
    torch.testing.assert_close(normalize(image, [127.5], [127.5]), image / 127.5 - 1, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [([0.5, 0.5], [0.5], "image_mean has 2 entries"), ([0.5], [0.5, 0.0, 0.5], "must not contain zeros")],
)
def test_unfit_normalization_constants_are_refused(mean: list[float], std: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        normalize(torch.zeros(3, 2, 2), mean, std)


def test_network_input_has_the_originals_channel_means() -> None:
    """ViT-Adapter's pipeline (keep-ratio resize, second resize to a multiple of 32) on the same photo."""
    processor = SemanticSegmentationImageProcessor(
        size={"shortest_edge": 128, "longest_edge": 512}, size_divisor=32, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )
    pixel_values = processor(FIXTURES / "photos" / "coffee.png", return_tensors="pt").pixel_values
    assert pixel_values.shape == (1, 3, 128, 192)
    expected = torch.tensor([[0.24270068, -0.32815084, -0.59725541]], dtype=torch.float64)
    torch.testing.assert_close(pixel_values.double().mean((2, 3)), expected, atol=2e-7, rtol=0)
