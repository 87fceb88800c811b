"""`segment` follows the originals' single-scale and multi-scale + flip protocol, with a small real model."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from segvit_hf.image_processing.processor import (
    SemanticSegmentationImageProcessor,
    SemanticSegmentationImageProcessorPil,
)
from segvit_hf.inference import segment
from tests.reference import FIXTURES

PHOTO = np.asarray(Image.open(FIXTURES / "photos" / "coffee.png").convert("RGB"))[:360:2, ::3]
SCALES = (0.5, 0.75, 1.0, 1.25)
SIZE = {"shortest_edge": 48, "longest_edge": 192}


class SmallSegmenter(nn.Module):
    """Convolutions with batch norm and dropout; the sine makes label maps with many regions of all classes."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 5, padding=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(8, 6, 3, padding=1)
        )
        for convolution in (self.layers[0], self.layers[4]):
            nn.init.normal_(convolution.weight, std=0.3)
        self.inputs: list[Tensor] = []

    def forward(self, pixel_values: Tensor) -> SimpleNamespace:
        assert not torch.is_grad_enabled()
        self.inputs.append(pixel_values)
        return SimpleNamespace(logits=3 * torch.sin(self.layers(pixel_values)))


@pytest.fixture
def model() -> SmallSegmenter:
    return SmallSegmenter().eval()


def naive_probabilities(model: SmallSegmenter, processor: Any, photo: np.ndarray, flips: tuple[bool, ...]) -> Tensor:
    """mmsegmentation's protocol, one augmentation after the other: mean probabilities (classes, height, width)."""
    total = torch.zeros(6, *photo.shape[:2], dtype=torch.float64)
    for scale in SCALES:
        pixel_values = processor(photo, scale=scale, return_tensors="pt").pixel_values
        for flip in flips:
            with torch.no_grad():
                logits = model(pixel_values.flip(-1) if flip else pixel_values).logits
            height, width = processor.get_input_geometry(*photo.shape[:2], scale).content
            logits = logits[:, :, :height, :width]
            if flip and width < pixel_values.shape[-1]:
                raise AssertionError("the naive protocol flips before padding")
            resized = F.interpolate(logits, photo.shape[:2], mode="bilinear", align_corners=False)
            probabilities = resized.double().softmax(dim=1)[0]
            total += probabilities.flip(-1) if flip else probabilities
    return total / (len(SCALES) * len(flips))


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("photo", [PHOTO, PHOTO[::6, ::6]], ids=["chunks of classes", "one view at a time"])
@pytest.mark.parametrize(
    "rules", [{}, {"minimum_short_edge": 40}, {"size_divisor": 32}, {"minimum_input_short_edge": 50}]
)
def test_multi_scale_equals_the_naive_protocol(
    model: SmallSegmenter, rules: dict[str, int], photo: np.ndarray, flip: bool
) -> None:
    processor = SemanticSegmentationImageProcessor(size=SIZE, **rules)
    label_map = segment(model, processor, photo, scales=SCALES, flip=flip)
    probabilities = naive_probabilities(model, processor, photo, (False, True) if flip else (False,))
    assert label_map.shape == photo.shape[:2]
    assert label_map.dtype == torch.int64
    assert label_map.unique().numel() >= 5
    first, second = probabilities.topk(2, dim=0).values
    decided = first - second > 1e-5
    assert decided.float().mean() > 0.99
    assert torch.equal(label_map[decided], probabilities.argmax(dim=0)[decided])


@pytest.mark.parametrize("backend", [SemanticSegmentationImageProcessor, SemanticSegmentationImageProcessorPil])
def test_one_scale_equals_post_processing(model: SmallSegmenter, backend: Any) -> None:
    processor = backend(size=SIZE)
    with torch.no_grad():
        outputs = model(processor(PHOTO, return_tensors="pt").pixel_values)
    (expected,) = processor.post_process_semantic_segmentation(outputs, [PHOTO.shape[:2]])
    assert torch.equal(segment(model, processor, PHOTO), expected)


def test_scales_with_the_same_input_run_once_and_count_as_often(model: SmallSegmenter) -> None:
    processor = SemanticSegmentationImageProcessor(size=SIZE, minimum_short_edge=48)
    once = segment(model, processor, PHOTO, scales=(0.5, 0.75, 1.0, 1.5), flip=True)
    assert len(model.inputs) == 4  # two sizes, each flipped and not
    three_times_and_one = segment(model, processor, PHOTO, scales=(1.0, 1.0, 1.0, 1.5), flip=True)
    assert torch.equal(once, three_times_and_one)
    assert not torch.equal(once, segment(model, processor, PHOTO, scales=(1.0, 1.5), flip=True))


def test_flip_mirrors_the_photo_before_black_padding(model: SmallSegmenter) -> None:
    processor = SemanticSegmentationImageProcessor(size=SIZE, minimum_padded_size=80, image_mean=[0.4] * 3)
    segment(model, processor, PHOTO, flip=True)
    plain, flipped = model.inputs
    assert plain.shape == flipped.shape == (1, 3, 80, 80)
    assert torch.equal(flipped[..., :48, :53], plain[..., :48, :53].flip(-1))
    torch.testing.assert_close(flipped[..., 53:], torch.full((1, 3, 80, 27), -0.8))


def test_padding_takes_no_part_in_the_label_map() -> None:
    class Brightness(nn.Module):
        """Class 1 where the input is brighter than black, class 0 elsewhere."""

        def __init__(self) -> None:
            super().__init__()
            self.threshold = nn.Parameter(torch.tensor(-0.99))

        def forward(self, pixel_values: Tensor) -> SimpleNamespace:
            bright = pixel_values.mean(1, keepdim=True) - self.threshold
            return SimpleNamespace(logits=torch.cat([-bright, bright], 1))

    processor = SemanticSegmentationImageProcessor(size=SIZE, minimum_padded_size=80)
    white = np.full((120, 150, 3), 255, np.uint8)
    for flip in (False, True):
        assert segment(Brightness(), processor, white, scales=(0.5, 1.0), flip=flip).eq(1).all()


def test_modes_of_all_modules_are_restored(model: SmallSegmenter) -> None:
    model.train()
    model.layers[1].eval()  # a frozen batch norm
    statistics = {name: buffer.clone() for name, buffer in model.named_buffers()}
    processor = SemanticSegmentationImageProcessor(size=SIZE)
    label_map = segment(model, processor, PHOTO)
    assert model.training
    assert not model.layers[1].training
    assert model.layers[3].training
    assert all(torch.equal(buffer, statistics[name]) for name, buffer in model.named_buffers())
    assert torch.equal(label_map, segment(model.eval(), processor, PHOTO))


def test_modes_are_restored_after_an_error(model: SmallSegmenter) -> None:
    model.train()
    with pytest.raises(RuntimeError):
        segment(
            model,
            SemanticSegmentationImageProcessor(size=SIZE, do_convert_rgb=False, image_mean=0.5, image_std=1.0),
            PHOTO[..., 0],
        )
    assert model.training


def test_model_runs_in_its_own_dtype(model: SmallSegmenter) -> None:
    segment(model.to(torch.bfloat16), SemanticSegmentationImageProcessor(size=SIZE), PHOTO, scales=(1.0, 0.5))
    assert {inputs.dtype for inputs in model.inputs} == {torch.bfloat16}


def test_the_label_map_can_be_edited(model: SmallSegmenter) -> None:
    label_map = segment(model, SemanticSegmentationImageProcessor(size=SIZE), PHOTO)
    label_map[label_map == 1] = 255
    assert not label_map.eq(1).any()


@pytest.mark.parametrize(
    "kind",
    [
        Image.fromarray,
        torch.from_numpy,
        lambda photo: torch.from_numpy(photo).permute(2, 0, 1),
        lambda photo: (photo / 255).astype(np.float64),
    ],
)
def test_kinds_of_photos(model: SmallSegmenter, kind: Callable[[np.ndarray], Any]) -> None:
    processor = SemanticSegmentationImageProcessor(do_resize=False)
    expected = segment(model, processor, PHOTO)
    assert (segment(model, processor, kind(PHOTO.copy())) == expected).float().mean() > 0.999


def test_exif_orientation_is_obeyed(model: SmallSegmenter, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise
    Image.fromarray(PHOTO).save(tmp_path / "photo.png", exif=exif)
    processor = SemanticSegmentationImageProcessor(size=SIZE)
    expected = segment(model, processor, np.rot90(PHOTO, -1))
    assert expected.shape == (200, 180)
    for photo in (tmp_path / "photo.png", str(tmp_path / "photo.png"), Image.open(tmp_path / "photo.png")):
        assert torch.equal(segment(model, processor, photo), expected)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"scales": ()}, ValueError, "at least one"),
        ({"scales": (1.0, 0.0)}, ValueError, "must be positive"),
        ({"scales": (float("inf"),)}, ValueError, "must be positive"),
        ({"scales": 1.0}, TypeError, "sequence"),
        ({"scales": "1.0"}, TypeError, "sequence"),
        ({"scales": ("1.0",)}, TypeError, "must be numbers"),
        ({"flip": "horizontal"}, TypeError, "True or False"),
        ({"image": [PHOTO]}, TypeError, "single photo"),
        ({"image": PHOTO[None]}, TypeError, "single photo"),
        ({"image_processor": object()}, TypeError, "image processors"),
        (
            {"image_processor": SemanticSegmentationImageProcessor(do_resize=False), "scales": (0.5,)},
            ValueError,
            "do_resize",
        ),
    ],
)
def test_bad_arguments_are_refused(
    model: SmallSegmenter, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    defaults = {"image_processor": SemanticSegmentationImageProcessor(size=SIZE), "image": PHOTO}
    with pytest.raises(error, match=message):
        segment(model, **{**defaults, **arguments})
