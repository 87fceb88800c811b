"""Reads HLG's configurations: segmentation (mmsegmentation), classification, and detection (mmdetection).

Follows configs/setr_hlg, hlg-classification/models/build.py and hlg-detection/configs/retinanet_hlg of
https://github.com/fudan-zvg/SETR.
"""

from collections.abc import Mapping
from typing import Any

from transformers import BitImageProcessor

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.hlg.detection import read_detection_model
from segvit_hf.conversion.hlg.encoder import read_encoder
from segvit_hf.conversion.hlg.names import CLASSIFICATION, DETECTION, SEGMENTATION, TASK_MODELS
from segvit_hf.conversion.hlg.segmentation import read_segmentation_model
from segvit_hf.conversion.labels import label_fields
from segvit_hf.conversion.mmseg.image_processor import original_processor_arguments
from segvit_hf.conversion.original_fields import OriginalFields
from segvit_hf.messages import listed, quoted
from segvit_hf.models.hlg.image_processing_hlg import CLASSIFICATION_CROP, classification_arguments
from segvit_hf.models.hlg.object_detection_hlg import SIZE_DIVISOR

# Those of the segmentation and detection code, and torch's own, which the classification code keeps.
_DENSE_EPS, _CLASSIFICATION_EPS = 1e-6, 1e-5
_DETECTION_SIZE = {"shortest_edge": 800, "longest_edge": 1333}
_TASKS = (SEGMENTATION, *TASK_MODELS)


def task_of_original(original: Mapping[str, Any]) -> str:
    """The task that an original configuration is for.

    Raises:
        ConversionError: It names one that there is not.
    """
    task = original.get("task", SEGMENTATION)
    if task not in _TASKS:
        raise ConversionError(f"task: expected one of {', '.join(_TASKS)}, found {quoted(task)}.")
    return task


def read_config(original: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `HlgConfig`.

    Args:
        original: `model`, `task`, `classes` and `palette` are read.

    Raises:
        ConversionError: If a field of `model` is missing, unknown or not supported, naming it.
    """
    task = task_of_original(original)
    if "model" not in original:
        raise ConversionError(
            f"HLG's configuration: expected a dictionary with the key 'model', found the keys {listed(original)}."
        )
    if task == SEGMENTATION:
        fields = read_segmentation_model(original, default_eps=_DENSE_EPS)
    elif task == DETECTION:
        fields = read_detection_model(OriginalFields(original["model"], "model"), default_eps=_DENSE_EPS)
    else:
        fields = _classification_fields(OriginalFields(original["model"], "model"))
    labels = label_fields(original, fields.pop("num_labels"))
    return {**fields, **labels, "architectures": [TASK_MODELS[task]] if task in TASK_MODELS else None}


def _classification_fields(model: OriginalFields) -> dict[str, Any]:
    fields = read_encoder(model, default_eps=_CLASSIFICATION_EPS)
    fields["num_labels"] = model.use_int("num_classes", 1000)
    model.finish()
    return {**fields, "use_stage_norms": False, "global_position_bias": "leading_tokens"}


def read_image_processor(original: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the image processor, `HlgImageProcessor` or for classification transformers' `BitImageProcessor`.

    Args:
        original: `task`, `test_pipeline` and `reduce_zero_label` are read, and `img_size` of a classifier's `model`.

    Raises:
        ConversionError: If a step or a setting of a pipeline is not supported, naming it.
    """
    task = task_of_original(original)
    if task == CLASSIFICATION:
        crop = OriginalFields(original["model"], "model").use_int("img_size", CLASSIFICATION_CROP)
        return classification_arguments(crop)
    if task == DETECTION:
        return {"size": _DETECTION_SIZE, **original_processor_arguments(_without_padding(original))}
    return original_processor_arguments(original)


def other_image_processor(original: Mapping[str, Any]) -> type | None:
    """Classification crops photos, which no processor of label maps does: transformers' own is taken."""
    return BitImageProcessor if task_of_original(original) == CLASSIFICATION else None


def _without_padding(original: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration without its step `Pad`: the model itself pads to multiples of 32."""
    pipeline = original.get("test_pipeline")
    if not isinstance(pipeline, list):
        return dict(original)
    steps = [_but_pad(step) if isinstance(step, Mapping) else step for step in pipeline]
    return {**original, "test_pipeline": steps}


def _but_pad(step: Mapping[str, Any]) -> Mapping[str, Any]:
    transforms = step.get("transforms")
    if not isinstance(transforms, list):
        return step
    others = []
    for transform in transforms:
        if isinstance(transform, Mapping) and transform.get("type") == "Pad":
            padding = OriginalFields(transform, "test_pipeline.Pad")
            padding.ignore("type")
            padding.require("size_divisor", SIZE_DIVISOR)
            padding.finish()
        else:
            others.append(transform)
    return {**step, "transforms": others}


__all__ = [
    "other_image_processor",
    "read_config",
    "read_image_processor",
    "task_of_original",
]
