"""SETR (Zheng et al., CVPR 2021, https://github.com/fudan-zvg/SETR): configuration, image processor, names.

Covers two layouts: the original's own (`setr_original`) and that of mmsegmentation's zoo (`setr_mmseg`). Which of the
two a configuration is of shows in the type of its decode head.
"""

from collections.abc import Mapping
from typing import Any

import torch

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.mmseg.model import model_fields, sliding_window
from segvit_hf.conversion.mmseg.test_pipeline import image_processor_arguments, original_processor_arguments
from segvit_hf.conversion.plan import ConversionPlan, build_config, label_arguments
from segvit_hf.conversion.setr.mmseg import MMSEG_HEAD_TYPES, mmseg_configuration, mmseg_rules
from segvit_hf.conversion.setr.original import original_configuration, original_rules
from segvit_hf.models.setr.configuration_setr import SetrConfig
from segvit_hf.models.setr.image_processing_setr import SetrImageProcessor
from segvit_hf.models.setr.modeling_setr import SetrForSemanticSegmentation

_CLASSIFIER = "decode_head.conv_seg.weight"


def plan_conversion(state_dict: Mapping[str, torch.Tensor], original: Mapping[str, Any]) -> ConversionPlan:
    """Args:
        state_dict: Original names to tensors; read for the number of classes.
        original: `{"model": <mmseg model dict>, "test_pipeline": [...]}`; optional keys `classes`, `palette`,
            `reduce_zero_label` (whether label 0 of the data set's maps means "no class"), `test_cfg` (where the model
            dictionary has none: the original keeps it beside the model) and `multi_scale_test_pipeline` (that of the
            `*_MS` configuration).

    Raises:
        ConversionError: If the configuration is incomplete, unsupported or not that of the weights.
    """
    config = setr_config(original)
    layout = layout_of(original)
    if state_dict and find_layout(state_dict) != layout:
        raise ConversionError(
            f"The configuration is of the layout {layout!r}, the names of the weights are of the layout "
            f"{find_layout(state_dict)!r} (original: the repository of SETR's authors; mmseg: mmsegmentation)."
        )
    found = count_classes(state_dict)
    if found is not None and found != config.num_labels:
        raise ConversionError(
            f"The configuration has {config.num_labels} classes (model.decode_head.num_classes), the weights have "
            f"{found} (rows of {_CLASSIFIER})."
        )
    arguments = original_processor_arguments(original)
    if original.get("multi_scale_test_pipeline"):
        multi_scale = image_processor_arguments(original["multi_scale_test_pipeline"])
        arguments["multi_scale_minimum_short_edge"] = multi_scale.get("minimum_short_edge")
    return ConversionPlan(
        config=config,
        model_class=SetrForSemanticSegmentation,
        image_processor=SetrImageProcessor(**arguments),
        rules=mmseg_rules(config) if layout == "mmseg" else original_rules(config),
    )


def find_layout(state_dict: Mapping[str, torch.Tensor]) -> str:
    """Which naming the weights have: "mmseg" or "original"."""
    return "mmseg" if any(key.startswith("backbone.layers.") for key in state_dict) else "original"


def layout_of(original: Mapping[str, Any]) -> str:
    """Whether a configuration is the original's own (`"original"`) or mmsegmentation's (`"mmseg"`).

    Raises:
        ConversionError: If it has no decode head.
    """
    model = original.get("model")
    head = model.get("decode_head") if isinstance(model, Mapping) else None
    if not isinstance(head, Mapping):
        raise ConversionError(
            "SETR's configuration: expected a dictionary with the key 'model', mmsegmentation's model dict with a "
            f"decode_head; found the keys {sorted(original)}."
        )
    return "mmseg" if head.get("type") in MMSEG_HEAD_TYPES else "original"


def setr_config(original: Mapping[str, Any]) -> SetrConfig:
    """The configuration that describes an original one, of either layout.

    Args:
        original: As for `plan_conversion`.

    Raises:
        ConversionError: If a field of `model` is missing, unknown or not supported, naming it.
    """
    layout = layout_of(original)
    values = {**original["model"]}
    if values.get("test_cfg") is None:
        values["test_cfg"] = original.get("test_cfg")
    model = model_fields({"model": values})
    model.ignore("train_cfg", "data_preprocessor")
    fields = mmseg_configuration(model) if layout == "mmseg" else original_configuration(model)
    fields["sliding_window"] = sliding_window(model)
    model.finish()
    # Inputs of another shape than the crop, which the original refuses, get the embeddings of their own grid.
    fields["position_embedding_resize_by"] = "grid"
    labels = label_arguments(original, fields.pop("num_labels"))
    return build_config(SetrConfig, "model", **fields, **labels)


def count_classes(state_dict: Mapping[str, torch.Tensor]) -> int | None:
    """Number of classes of a SETR checkpoint of either layout; `None` if it has no classifier."""
    classifier = state_dict.get(_CLASSIFIER)
    return None if classifier is None else classifier.shape[0]


__all__ = ["count_classes", "find_layout", "layout_of", "plan_conversion", "setr_config"]
