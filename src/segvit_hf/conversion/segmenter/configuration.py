"""Reads Segmenter's configurations, of either code base: which of the two it is shows in the keys."""

from collections.abc import Mapping
from typing import Any

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.reading.recognition import Naming
from segvit_hf.conversion.segmenter.mmseg import read_mmseg_config, read_mmseg_image_processor
from segvit_hf.conversion.segmenter.original import find_variant, read_variant_config, read_variant_image_processor
from segvit_hf.messages import listed


def naming_of(original: Mapping[str, Any]) -> Naming:
    """Whose configuration this is.

    Raises:
        ConversionError: If it is of neither form.
    """
    if "model" in original:
        return "mmseg"
    if "net_kwargs" in original:
        return "original"
    raise ConversionError(
        "Segmenter's configuration: expected the content of its variant.yml (net_kwargs, dataset_kwargs, "
        "inference_kwargs) or a dictionary with the key 'model' (mmsegmentation's model dict), found the keys "
        f"{listed(original)}."
    )


def read_config(original: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `SegmenterConfig`.

    Args:
        original: The content of `variant.yml`, or `model` of mmsegmentation; optional keys `classes` and `palette`,
            without which those of the data set that `variant.yml` names are taken.

    Raises:
        ConversionError: If a field is missing, unknown or not supported, naming it.
    """
    return read_mmseg_config(original) if naming_of(original) == "mmseg" else read_variant_config(original)


def read_image_processor(original: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `SegmenterImageProcessor`.

    Args:
        original: The content of `variant.yml`, or `test_pipeline` of mmsegmentation; optional key
            `reduce_zero_label`.

    Raises:
        ConversionError: If a setting is not supported, naming it.
    """
    if naming_of(original) == "mmseg":
        return read_mmseg_image_processor(original)
    return read_variant_image_processor(original)


__all__ = ["find_variant", "naming_of", "read_config", "read_image_processor"]
