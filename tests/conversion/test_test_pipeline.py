"""From mmsegmentation's test pipelines to image processor arguments."""

from typing import Any

import pytest

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.mmseg.test_pipeline import image_processor_arguments


def pipeline(**resize: Any) -> list[dict[str, Any]]:
    transforms = [
        {"type": "Resize", "keep_ratio": True, **resize},
        {"type": "RandomFlip"},
        {"type": "Normalize", "mean": [123.675, 116.28, 103.53], "std": [127.5] * 3, "to_rgb": True},
        {"type": "ImageToTensor", "keys": ["img"]},
        {"type": "Collect", "keys": ["img"]},
    ]
    augmentation = {"type": "MultiScaleFlipAug", "img_scale": (2048, 512), "flip": False, "transforms": transforms}
    return [{"type": "LoadImageFromFile"}, augmentation]


def test_keep_ratio_takes_short_and_long_edge_from_the_scale() -> None:
    assert image_processor_arguments(pipeline()) == {
        "do_resize": True,
        "size": {"shortest_edge": 512, "longest_edge": 2048},
        "do_normalize": True,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.5, 0.5, 0.5],
    }


def test_a_minimum_short_edge_is_kept() -> None:
    assert image_processor_arguments(pipeline(min_size=480))["minimum_short_edge"] == 480


def test_a_fixed_size_is_written_as_height_and_width() -> None:
    assert image_processor_arguments(pipeline(keep_ratio=False))["size"] == {"height": 512, "width": 2048}


def test_a_list_of_one_scale_is_that_scale() -> None:
    steps = pipeline()
    steps[1].update(img_scale=[(640, 320)], img_ratios=[0.5, 1.0], flip=True)
    assert image_processor_arguments(steps)["size"] == {"shortest_edge": 320, "longest_edge": 640}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda steps: steps.pop(), "expected a step MultiScaleFlipAug"),
        (lambda steps: steps.append({"type": "Rotate"}), r"test_pipeline\[2\]: the step 'Rotate' is not supported"),
        (
            lambda steps: steps[1]["transforms"].append({"type": "Pad", "size_divisor": 32}),
            r"transforms\[5\]: the step 'Pad' is not supported",
        ),
        (lambda steps: steps[1]["transforms"][2].update(to_rgb=False), "to_rgb = False is not supported"),
        (lambda steps: steps[1]["transforms"][2].update(mean=[0.5]), r"mean: expected three numbers, found \[0\.5\]"),
        (lambda steps: steps[1]["transforms"][0].update(ratio_range=(0.5, 2)), "ratio_range"),
        (lambda steps: steps[1]["transforms"][0].update(interpolation="area"), "'interpolation' = 'area'"),
        (lambda steps: steps[1].update(img_scale=[(1, 2), (3, 4)]), r"img_scale: expected one pair"),
        (lambda steps: steps[1].update(surprise=1), "'surprise' = 1"),
        (lambda steps: steps[0].update(color_type="grayscale"), "color_type = 'grayscale'"),
    ],
)
def test_unsupported_steps_and_settings_are_named(change: Any, message: str) -> None:
    steps = pipeline()
    change(steps)
    with pytest.raises(ConversionError, match=message):
        image_processor_arguments(steps)


def test_anything_but_a_list_of_steps_is_refused() -> None:
    with pytest.raises(ConversionError, match="expected a list of steps"):
        image_processor_arguments({"type": "LoadImageFromFile"})


def test_multi_scale_pipelines_become_fields_of_the_image_processor() -> None:
    def arguments(*transforms: dict[str, object]) -> dict[str, object]:
        step = {"type": "MultiScaleFlipAug", "img_scale": [3584, 896], "flip": True, "transforms": list(transforms)}
        return image_processor_arguments([{"type": "LoadImageFromFile"}, step])

    resize = {"type": "Resize", "keep_ratio": True}
    padded = arguments(resize, {"type": "ResizeToMultiple", "size_divisor": 32}, {"type": "PadShortSide", "size": 896})
    assert (padded["size_divisor"], padded["minimum_padded_size"]) == (32, 896)
    setr = arguments({"type": "SETR_Resize", "keep_ratio": True, "crop_size": [640, 640], "setr_multi_scale": True})
    assert setr["minimum_short_edge"] == 640
