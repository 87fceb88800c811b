"""From mmsegmentation's `test_pipeline` to the arguments of our image processors.

Follows mmsegmentation 0.x's datasets/pipelines/ (loading.py, transforms.py, test_time_aug.py), and the steps that SETR
and ViT-Adapter add to it.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.original_fields import LARGEST_SIZE, OriginalFields
from segvit_hf.messages import quoted

_PIXEL_MAXIMUM = 255
_LARGEST_VALUE = 1e6
# What configurations write for a long side of any length.
_NO_LIMIT = 99_999_999
# Steps that only move data around at test time.
_NEUTRAL_STEPS = ("RandomFlip", "ImageToTensor", "DefaultFormatBundle", "Collect")


def image_processor_arguments(test_pipeline: Any) -> dict[str, Any]:
    """What an image processor needs to resize and normalize as a `test_pipeline` of mmsegmentation 0.x does.

    Scales and flips of a multi-scale test are no part of an image processor: they are arguments of
    `segvit_hf.segment`.

    Args:
        test_pipeline: The list of steps: `LoadImageFromFile`, then `MultiScaleFlipAug` around the others.

    Returns:
        `size`, `minimum_short_edge`, `size_divisor`, `minimum_padded_size`, `image_mean` and `image_std` (for pixels
        in 0..1) where the pipeline sets them, and `do_resize`, `do_normalize`.

    Raises:
        ConversionError: If a step or a setting is not supported, naming it.
    """
    steps = pipeline_steps(test_pipeline, "test_pipeline")
    arguments: dict[str, Any] = {"do_resize": False, "do_normalize": False}
    found_augmentation = False
    for step in steps:
        kind = step.use("type")
        if kind == "LoadImageFromFile":
            step.require("to_float32", False, True, default=False)
            step.require("color_type", "color", default="color")
            step.ignore("file_client_args", "imdecode_backend")
            step.finish()
        elif kind == "MultiScaleFlipAug":
            found_augmentation = True
            arguments.update(_augmentation_arguments(step))
        elif kind not in _NEUTRAL_STEPS:
            raise ConversionError(f"{step.where}: the step {quoted(kind)} is not supported.")
    if not found_augmentation:
        raise ConversionError("test_pipeline: expected a step MultiScaleFlipAug that holds the others, found none.")
    return arguments


def _augmentation_arguments(step: OriginalFields) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    _image_scale(step, "img_scale")
    step.ignore("img_ratios", "flip", "flip_direction")
    for transform in pipeline_steps(step.use("transforms"), f"{step.where}.transforms"):
        kind = transform.use("type")
        if kind in ("Resize", "SETR_Resize"):
            arguments.update(resize_arguments(transform, step, "img_scale"))
        elif kind == "ResizeToMultiple":
            arguments["size_divisor"] = transform.use_int("size_divisor", 32)
            transform.require("interpolation", None, default=None)
            transform.finish()
        elif kind == "PadShortSide":
            arguments["minimum_padded_size"] = transform.use_int("size")
            transform.require("pad_val", 0, default=0)
            transform.require("seg_pad_val", 255, default=255)
            transform.finish()
        elif kind == "Normalize":
            transform.require("to_rgb", True, default=True)
            arguments["do_normalize"] = True
            arguments["image_mean"] = values_per_channel(transform, "mean")
            arguments["image_std"] = values_per_channel(transform, "std")
            transform.finish()
        elif kind not in _NEUTRAL_STEPS:
            raise ConversionError(f"{transform.where}: the step {quoted(kind)} is not supported.")
    step.finish()
    return arguments


def resize_arguments(transform: OriginalFields, scale_holder: OriginalFields, name: str) -> dict[str, Any]:
    """What a step `Resize` says.

    Args:
        transform: The step.
        scale_holder: The step whose field `name` is the scale, [long side, short side].
        name: That field.
    """
    scale = _image_scale(scale_holder, name)
    transform.require("ratio_range", None, default=None)
    transform.require("img_scale", None, default=None)
    transform.ignore("multiscale_mode")
    keep_ratio = transform.use_bool("keep_ratio", True)
    minimum_short_edge = _minimum_short_edge(transform, scale)
    transform.finish()
    if not keep_ratio:
        # mmcv writes sizes as (width, height).
        return {"do_resize": True, "size": {"height": scale[1], "width": scale[0]}}
    limit = {} if max(scale) == _NO_LIMIT else {"longest_edge": max(scale)}
    arguments: dict[str, Any] = {"do_resize": True, "size": {"shortest_edge": min(scale), **limit}}
    if minimum_short_edge is not None:
        arguments["minimum_short_edge"] = minimum_short_edge
    return arguments


def _minimum_short_edge(transform: OriginalFields, scale: tuple[int, int]) -> int | None:
    """Lower limit of the short side, where one of three projects' rules sets it: the long side is then not capped."""
    minimum = None if transform.use("min_size", None) is None else transform.use_int("min_size")
    # SETR, ViT-Adapter: never below the crop.
    if transform.use_bool("setr_multi_scale", False):
        minimum = transform.use_pair("crop_size")[0]
    transform.ignore("crop_size")
    # SETR's Pascal Context configurations: an argument that the released code no longer takes. In the code that knew
    # it the short side was that of img_scale, whatever the long side.
    if transform.require("dataset", None, "pascal_context", default=None) is not None:
        minimum = min(scale)
    return minimum


def _image_scale(step: OriginalFields, name: str) -> tuple[int, int]:
    value = step.use(name)
    if isinstance(value, Sequence) and len(value) == 1 and isinstance(value[0], Sequence):
        value = value[0]
    if not (isinstance(value, Sequence) and len(value) == 2 and all(_is_side(side) for side in value)):
        raise ConversionError(
            f"{step.where}.{name}: expected one pair of whole numbers from 1 to {LARGEST_SIZE}, found {quoted(value)}."
        )
    return (value[0], value[1])


def values_per_channel(transform: OriginalFields, name: str) -> list[float]:
    """The `mean` or the `std` of a step that normalizes pixels in 0..255, for pixels in 0..1."""
    values = transform.use(name)
    # A standard deviation of 0 would make every pixel infinite.
    lowest = math.ulp(0.0) if name == "std" else -math.inf
    if not (isinstance(values, Sequence) and len(values) == 3 and all(_is_value(v, lowest) for v in values)):
        expected = "three numbers" if name == "mean" else "three numbers above 0"
        raise ConversionError(f"{transform.where}.{name}: expected {expected}, found {quoted(values)}.")
    # Rounded so that 123.675 reads 0.485; the difference is far below float32's resolution.
    return [round(value / _PIXEL_MAXIMUM, 12) for value in values]


def _is_side(value: Any) -> bool:
    return type(value) is int and (0 < value <= LARGEST_SIZE or value == _NO_LIMIT)


def _is_value(value: Any, lowest: float) -> bool:
    return type(value) in (int, float) and lowest <= value < _LARGEST_VALUE and value > -_LARGEST_VALUE


def pipeline_steps(values: Any, where: str) -> list[OriginalFields]:
    """The steps of a pipeline, in order; `where` is how errors call it."""
    if not isinstance(values, Sequence) or isinstance(values, (str, bytes, Mapping)):
        raise ConversionError(f"{where}: expected a list of steps, found {quoted(values)}.")
    return [OriginalFields(step, f"{where}[{index}]") for index, step in enumerate(values)]


__all__ = ["image_processor_arguments", "pipeline_steps", "resize_arguments", "values_per_channel"]
