"""Reads SETR's configurations, of either code base: which of the two it is shows in the type of the decode head."""

from collections.abc import Mapping
from typing import Any

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.labels import label_fields
from segvit_hf.conversion.mmseg.image_processor import original_processor_arguments
from segvit_hf.conversion.mmseg.model import model_fields, sliding_window
from segvit_hf.conversion.mmseg.test_pipeline import image_processor_arguments
from segvit_hf.conversion.reading.recognition import Naming
from segvit_hf.conversion.setr.mmseg import MMSEG_HEAD_TYPES, read_mmseg_model
from segvit_hf.conversion.setr.original import read_original_model
from segvit_hf.messages import listed


def naming_of(original: Mapping[str, Any]) -> Naming:
    """Whose configuration this is.

    Raises:
        ConversionError: If it has no decode head.
    """
    model = original.get("model")
    head = model.get("decode_head") if isinstance(model, Mapping) else None
    if not isinstance(head, Mapping):
        raise ConversionError(
            "SETR's configuration: expected a dictionary with the key 'model', mmsegmentation's model dict with a "
            f"decode_head; found the keys {listed(original)}."
        )
    return "mmseg" if head.get("type") in MMSEG_HEAD_TYPES else "original"


def read_config(original: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `SetrConfig`.

    Args:
        original: `model`, `classes` and `palette` are read, and `test_cfg` where the model dictionary has none: the
            authors keep it beside the model.

    Raises:
        ConversionError: If a field of `model` is missing, unknown or not supported, naming it.
    """
    naming = naming_of(original)
    values = {**original["model"]}
    if values.get("test_cfg") is None:
        values["test_cfg"] = original.get("test_cfg")
    model = model_fields({"model": values})
    model.ignore("train_cfg", "data_preprocessor")
    fields = read_mmseg_model(model) if naming == "mmseg" else read_original_model(model)
    fields["sliding_window"] = sliding_window(model)
    model.finish()
    # Inputs of another shape than the crop, which the original refuses, get the embeddings of their own grid.
    fields["position_embedding_resize_by"] = "grid"
    return {**fields, **label_fields(original, fields.pop("num_labels"))}


def read_image_processor(original: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `SetrImageProcessor`.

    Args:
        original: `test_pipeline`, `reduce_zero_label` and `multi_scale_test_pipeline` (that of the `*_MS`
            configuration) are read.

    Raises:
        ConversionError: If a step or a setting of a pipeline is not supported, naming it.
    """
    arguments = original_processor_arguments(original)
    if original.get("multi_scale_test_pipeline"):
        multi_scale = image_processor_arguments(original["multi_scale_test_pipeline"])
        arguments["multi_scale_minimum_short_edge"] = multi_scale.get("minimum_short_edge")
    return arguments


__all__ = ["naming_of", "read_config", "read_image_processor"]
