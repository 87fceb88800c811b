"""Reads the configurations of ViT-Adapter's segmentation code (https://github.com/czczup/ViT-Adapter).

Follows the original's segmentation/configs/ and mmseg_custom/models/segmentors/: ViT and BEiT encoders with an
adapter, and UPerHead or Mask2FormerHead.
"""

from collections.abc import Callable, Mapping
from typing import Any

from segvit_hf.conversion.labels import label_fields
from segvit_hf.conversion.mmseg.image_processor import original_processor_arguments
from segvit_hf.conversion.mmseg.model import model_fields, sliding_window
from segvit_hf.conversion.original_fields import OriginalFields
from segvit_hf.conversion.vit_adapter.encoder import read_encoder
from segvit_hf.conversion.vit_adapter.mask2former import read_mask2former, read_matching
from segvit_hf.conversion.vit_adapter.upernet import read_auxiliary_head, read_upernet

# Of panoptic and instance inference, which the segmentation code does not have.
_NOT_OF_SEGMENTATION = (
    "panoptic_on",
    "semantic_on",
    "instance_on",
    "max_per_image",
    "iou_thr",
    "filter_low_score",
    "object_mask_thr",
)


def read_config(
    original: Mapping[str, Any], read_backbone: Callable[[OriginalFields], dict[str, Any]] = read_encoder
) -> dict[str, Any]:
    """Fields of `VitAdapterConfig`.

    Args:
        original: `model`, `classes` and `palette` are read.
        read_backbone: What reads the encoder, where it is not ViT-Adapter's own.

    Raises:
        ConversionError: If a field of `model` is missing, unknown or not supported, naming it.
    """
    model = model_fields(original, "EncoderDecoderMask2Former")
    model.require("neck", None, default=None)
    encoder = read_backbone(model.section("backbone"))
    decoder, num_labels = _decoder_fields(model, encoder["hidden_size"])
    window = sliding_window(model, unused=_NOT_OF_SEGMENTATION)
    model.finish()
    return {**encoder, **decoder, "sliding_window": window, **label_fields(original, num_labels)}


def _decoder_fields(model: OriginalFields, encoder_width: int) -> tuple[dict[str, Any], int]:
    head = model.section("decode_head")
    if head.require("type", "UPerHead", "Mask2FormerHead") == "UPerHead":
        model.ignore("train_cfg")
        decoder, num_labels = read_upernet(head, encoder_width)
        return {**decoder, **read_auxiliary_head(model, encoder_width, num_labels)}, num_labels
    model.require("auxiliary_head", None, [], default=None)
    decoder, num_labels = read_mask2former(head, encoder_width)
    return {**decoder, **read_matching(model, decoder)}, num_labels


def read_image_processor(original: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `VitAdapterImageProcessor`.

    Args:
        original: `test_pipeline` and `reduce_zero_label` are read.

    Raises:
        ConversionError: If a step or a setting of the pipeline is not supported, naming it.
    """
    # Our default is the second resize, which Cityscapes' pipeline does without.
    return original_processor_arguments(original, size_divisor=None)


__all__ = ["read_config", "read_image_processor"]
