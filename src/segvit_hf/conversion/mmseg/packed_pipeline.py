"""From the test pipelines of mmsegmentation 1.x to the arguments of our image processors.

They are flat, end with `PackSegInputs`, and leave the normalization to the model's `data_preprocessor`. Follows
datasets/transforms/ and models/data_preprocessor.py of mmsegmentation 1.x.
"""

from collections.abc import Mapping
from typing import Any

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.mmseg.test_pipeline import pipeline_steps, resize_arguments, values_per_channel
from segvit_hf.conversion.original_fields import OriginalFields
from segvit_hf.messages import quoted

_PACKING = "PackSegInputs"
# Steps that read files and move data around.
_NEUTRAL_STEPS = ("LoadImageFromFile", "LoadAnnotations", _PACKING)


def is_packed_pipeline(test_pipeline: Any) -> bool:
    """Whether a pipeline is of the form of mmsegmentation 1.x."""
    if not isinstance(test_pipeline, (list, tuple)):
        return False
    return any(isinstance(step, Mapping) and step.get("type") == _PACKING for step in test_pipeline)


def packed_processor_arguments(test_pipeline: Any, data_preprocessor: Any) -> dict[str, Any]:
    """What an image processor needs to resize and normalize as mmsegmentation 1.x does.

    Args:
        test_pipeline: The list of steps.
        data_preprocessor: That of the model dictionary, `None` where it has none.

    Returns:
        As `image_processor_arguments` of the older form.

    Raises:
        ConversionError: If a step or a setting is not supported, naming it.
    """
    arguments: dict[str, Any] = {"do_resize": False, "do_normalize": False}
    for step in pipeline_steps(test_pipeline, "test_pipeline"):
        kind = step.use("type")
        if kind == "Resize":
            arguments.update(resize_arguments(step, step, "scale"))
        elif kind not in _NEUTRAL_STEPS:
            raise ConversionError(f"{step.where}: the step {quoted(kind)} is not supported.")
    if data_preprocessor is not None:
        arguments.update(_normalization(OriginalFields(data_preprocessor, "model.data_preprocessor")))
    return arguments


def _normalization(preprocessor: OriginalFields) -> dict[str, Any]:
    preprocessor.require("type", "SegDataPreProcessor")
    preprocessor.require("bgr_to_rgb", True)
    preprocessor.require("test_cfg", None, default=None)
    preprocessor.ignore("pad_val", "seg_pad_val", "size", "size_divisor")  # of training batches
    if preprocessor.use("mean", None) is None:
        preprocessor.ignore("std")
        preprocessor.finish()
        return {}
    fields = {
        "do_normalize": True,
        "image_mean": values_per_channel(preprocessor, "mean"),
        "image_std": values_per_channel(preprocessor, "std"),
    }
    preprocessor.finish()
    return fields


__all__ = ["is_packed_pipeline", "packed_processor_arguments"]
