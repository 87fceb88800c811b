"""The size of the network's input follows each original's rule, at one and at several scales."""

from typing import Any

import pytest
import torch

from segvit_hf.image_processing.processor import (
    SemanticSegmentationImageProcessor,
    SemanticSegmentationImageProcessorPil,
)
from segvit_hf.image_processing.size_rules import RULE_NAMES, SizeRule
from segvit_hf.models.vit_adapter.image_processing_vit_adapter import VitAdapterImageProcessor

ADE20K = {"shortest_edge": 512, "longest_edge": 2048}


@pytest.mark.parametrize(
    ("photo", "expected"),
    [
        ((375, 500), (512, 683)),  # 682.67 is rounded up, not cut off
        ((500, 375), (683, 512)),
        ((300, 451), (512, 770)),  # 769.71
        ((512, 512), (512, 512)),
        ((100, 1000), (205, 2048)),  # the long side limits: 204.8
    ],
)
def test_keep_ratio_resize_rounds_half_up(photo: tuple[int, int], expected: tuple[int, int]) -> None:
    processor = SemanticSegmentationImageProcessor(size=ADE20K)
    assert processor.get_input_geometry(*photo).network_input == expected
    assert processor(torch.zeros(3, *photo, dtype=torch.uint8), return_tensors="pt").pixel_values.shape[2:] == expected


# Sizes that the original pipelines computed.
@pytest.mark.parametrize(
    ("fields", "photo", "expected"),
    [
        # SETR's multi-scale run: crop 64, img_scale (90, 90)
        (
            {"size": {"shortest_edge": 90, "longest_edge": 90}, "minimum_short_edge": 64},
            (300, 451),
            {0.5: (64, 96), 0.75: (67, 101), 1.0: (90, 135), 1.25: (112, 168), 1.5: (135, 203), 1.75: (157, 236)},
        ),
        # SegViT on Pascal Context in small: img_scale (140, 140), min_size 128
        (
            {"size": {"shortest_edge": 140, "longest_edge": 140}, "minimum_short_edge": 128},
            (512, 512),
            {1: (140, 140)},
        ),
        # ViT-Adapter: img_scale (512, 128), then up to a multiple of 32
        (
            {"size": {"shortest_edge": 128, "longest_edge": 512}, "size_divisor": 32},
            (300, 451),
            {1.0: (128, 192), 1.01: (160, 224)},
        ),
        # Segmenter's eval/miou.py with image size 192
        ({"size": {"shortest_edge": 192, "longest_edge": 768}}, (512, 512), {1.0: (192, 192), 0.5: (96, 96)}),
        # Cityscapes in SETR: (2049, 1025) limits the long side in one run and not in the other
        ({"size": {"shortest_edge": 1025, "longest_edge": 2049}}, (1024, 2048), {1.0: (1025, 2049)}),
        (
            {"size": {"shortest_edge": 1025, "longest_edge": 2049}, "minimum_short_edge": 768},
            (1024, 2048),
            {1.0: (1025, 2050), 0.5: (768, 1536)},
        ),
        # SegViT on Pascal Context: min_size leaves the long side uncapped
        (
            {"size": {"shortest_edge": 520, "longest_edge": 520}, "minimum_short_edge": 480},
            (375, 500),
            {1.0: (520, 693), 0.5: (480, 640)},
        ),
        ({"size": {"shortest_edge": 520}}, (375, 500), {1.0: (520, 693), 0.5: (260, 347)}),
        ({"size": {"height": 30, "width": 45}}, (375, 500), {1.0: (30, 45), 0.75: (22, 33)}),
    ],
)
def test_every_rule_holds_at_every_scale(
    fields: dict[str, Any], photo: tuple[int, int], expected: dict[float, tuple[int, int]]
) -> None:
    processor = SemanticSegmentationImageProcessor(**fields)
    image = torch.zeros(3, *photo, dtype=torch.uint8)
    for scale, size in expected.items():
        assert processor.get_input_geometry(*photo, scale).network_input == size
        assert processor(image, scale=scale, return_tensors="pt").pixel_values.shape[2:] == size


def test_no_resize_keeps_the_photo_and_refuses_other_scales() -> None:
    processor = SemanticSegmentationImageProcessor(do_resize=False)
    image = torch.zeros(3, 37, 53, dtype=torch.uint8)
    assert processor(image, return_tensors="pt").pixel_values.shape[2:] == (37, 53)
    with pytest.raises(ValueError, match="scale needs do_resize"):
        processor(image, scale=0.5, return_tensors="pt")


def test_inputs_smaller_than_segmenters_window_are_enlarged_after_normalization() -> None:
    processor = SemanticSegmentationImageProcessor(do_resize=False, minimum_input_short_edge=64)
    image = torch.randint(0, 256, (3, 30, 47), dtype=torch.uint8)
    pixel_values = processor(image, return_tensors="pt").pixel_values
    plain = SemanticSegmentationImageProcessor(do_resize=False)(image, return_tensors="pt").pixel_values
    assert pixel_values.shape[2:] == (64, 100)  # 100.27 is cut off
    assert torch.equal(pixel_values, torch.nn.functional.interpolate(plain, (64, 100), mode="bilinear"))
    large = torch.zeros(3, 64, 70, dtype=torch.uint8)
    assert processor(large, return_tensors="pt").pixel_values.shape[2:] == (64, 70)


def test_padding_to_a_minimum_size_is_black_before_normalization() -> None:
    processor = SemanticSegmentationImageProcessor(do_resize=False, minimum_padded_size=40, image_mean=[0.5, 0.4, 0.3])
    image = torch.full((3, 30, 50), 255, dtype=torch.uint8)
    maps = torch.zeros(30, 50, dtype=torch.uint8)
    batch = processor(image, maps, return_tensors="pt")
    assert batch.pixel_values.shape == (1, 3, 40, 50)
    assert "pixel_mask" not in batch
    torch.testing.assert_close(batch.pixel_values[0, :, 30:].amax((1, 2)), -torch.tensor([0.5, 0.4, 0.3]) / 0.5)
    assert batch.labels[0, :30].eq(0).all()
    assert batch.labels[0, 30:].eq(255).all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size": {"longest_edge": 512}}, "size must be"),
        ({"size": {"max_height": 5, "max_width": 5}}, "size must be"),
        ({"size": {"height": 0, "width": 5}}, "positive numbers of pixels"),
        ({"size": {"shortest_edge": 512, "longest_edge": 256}}, "longest_edge must not be less"),
        ({"size": {"height": 32, "width": 32}, "minimum_short_edge": 16}, "minimum_short_edge needs"),
        ({"size_divisor": 0}, "size_divisor must be None or a positive integer"),
        ({"minimum_padded_size": 64, "minimum_input_short_edge": 64}, "exclude each other"),
    ],
)
def test_impossible_rules_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SemanticSegmentationImageProcessor(**fields)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), 1e-4])
def test_impossible_scales_are_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="scale"):
        SemanticSegmentationImageProcessor()(torch.zeros(3, 8, 8, dtype=torch.uint8), scale=scale)


def test_extreme_aspect_ratios_keep_at_least_one_pixel() -> None:
    processor = SemanticSegmentationImageProcessor(size=ADE20K)
    assert processor.get_input_geometry(10000, 2).network_input == (2048, 1)


def test_fields_that_are_set_later_and_for_one_call_are_obeyed() -> None:
    processor = SemanticSegmentationImageProcessor(do_resize=False, size=ADE20K)
    photo = torch.zeros(3, 30, 40, dtype=torch.uint8)

    def side(**fields: Any) -> int:
        return processor(photo, return_tensors="pt", **fields).pixel_values.shape[2]

    assert side() == 30
    processor.do_resize = True
    assert side() == processor.get_input_geometry(30, 40).network_input[0] == 512
    processor.size = {"shortest_edge": 20}
    processor.size_divisor = 32
    assert side() == processor.get_input_geometry(30, 40).network_input[0] == 32
    assert side(size_divisor=None) == 20
    assert side(do_resize=False) == 30
    assert side() == 32
    processor.size_divisor = 0
    with pytest.raises(ValueError, match="size_divisor"):
        side()


def test_every_rule_is_a_field_of_the_processor() -> None:
    assert set(RULE_NAMES) < set(SemanticSegmentationImageProcessor.valid_kwargs.__annotations__)


@pytest.mark.parametrize("fields", [{"minimum_padded_size": 64}, {"minimum_input_short_edge": 64}])
@pytest.mark.parametrize(
    "backend", [SemanticSegmentationImageProcessor, SemanticSegmentationImageProcessorPil, VitAdapterImageProcessor]
)
def test_without_size_rules_photos_and_labels_keep_their_size_and_ids(backend: Any, fields: dict[str, int]) -> None:
    processor = backend(
        size={"shortest_edge": 50},
        size_divisor=32,
        minimum_short_edge=40,
        multi_scale_minimum_short_edge=45,
        do_reduce_labels=True,
        **fields,
    )
    before = processor.to_dict()
    plain = processor.without_size_rules()
    assert processor.to_dict() == before
    assert plain.size_rule == SizeRule()
    assert plain.for_several_views().size_rule == SizeRule()
    photo = torch.randint(0, 256, (3, 31, 43), dtype=torch.uint8)
    maps = torch.randint(0, 9, (31, 43))
    batch = plain(photo, maps, return_tensors="pt")
    expected = (photo / 255 - torch.tensor(processor.image_mean)[:, None, None]) / torch.tensor(processor.image_std)[
        :, None, None
    ]
    torch.testing.assert_close(batch.pixel_values[0], expected)
    assert torch.equal(batch.labels[0], maps)
