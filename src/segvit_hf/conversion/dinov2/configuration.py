"""Reads the configurations of DINOv2's segmentors (https://github.com/facebookresearch/dinov2).

Follows dinov2/eval/segmentation/ (`BNHead` on a frozen encoder), notebooks/semantic_segmentation.ipynb and
dinov2/eval/segmentation_m2f/ (ViT-Adapter with `Mask2FormerHead`) of the original, on mmsegmentation 0.x.
"""

from collections.abc import Mapping
from typing import Any

from segvit_hf._compat import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from segvit_hf.architectures import Architecture, get_architecture
from segvit_hf.conversion.dinov2.encoder import read_vit, read_vit_of_adapter
from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.labels import label_fields, reduces_labels
from segvit_hf.conversion.mmseg.model import (
    model_fields,
    require_batch_norm,
    require_cross_entropy,
    require_plain_head,
    sliding_window,
)
from segvit_hf.conversion.mmseg.test_pipeline import image_processor_arguments
from segvit_hf.conversion.original_fields import OriginalFields
from segvit_hf.conversion.vit_adapter import configuration as vit_adapter_configuration

LINEAR, MASK2FORMER = "BNHead", "Mask2FormerHead"
_ADAPTER = "ViTAdapter"


def architecture_of(original: Mapping[str, Any]) -> Architecture:
    """What an original's configuration describes: a linear head, or ViT-Adapter."""
    model = original.get("model")
    backbone = model.get("backbone") if isinstance(model, Mapping) else None
    is_adapter = isinstance(backbone, Mapping) and backbone.get("type") == _ADAPTER
    return get_architecture("vit_adapter" if is_adapter else "linear_head")


def read_config(original: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `LinearHeadConfig` or `VitAdapterConfig`, see `architecture_of`.

    Args:
        original: `model`, `classes` and `palette` are read.

    Raises:
        ConversionError: If a field of `model` is missing, unknown or not supported, naming it.
    """
    if architecture_of(original) is get_architecture("vit_adapter"):
        return vit_adapter_configuration.read_config(original, read_vit_of_adapter)
    model = model_fields(original)
    model.require("neck", None, default=None)
    model.require("auxiliary_head", None, [], default=None)
    model.ignore("train_cfg")
    encoder = read_vit(model.section("backbone"))
    decoder, num_labels = _read_linear_head(model.section("decode_head"), encoder)
    window = sliding_window(model)
    model.finish()
    return {**encoder, **decoder, "sliding_window": window, **label_fields(original, num_labels)}


def _read_linear_head(head: OriginalFields, encoder: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """What `BNHead` takes of the encoder's maps, in what order, and the number of classes."""
    head.require("type", LINEAR)
    num_labels, out_indices = head.use_int("num_classes"), encoder["encoder_out_indices"]
    chosen = head.use_indices("in_index", [0, 1, 2, 3])
    if chosen != sorted(set(chosen)) or not chosen or not 0 <= chosen[0] <= chosen[-1] < len(out_indices):
        raise ConversionError(
            f"{head.where}.in_index: expected ascending numbers of the backbone's {len(out_indices)} feature maps, "
            f"found {chosen}."
        )
    width = encoder["hidden_size"]
    head.require("in_channels", [width] * len(chosen), *([width] if len(chosen) == 1 else []))
    head.require("channels", width * len(chosen))
    head.require("resize_factors", None, [1] * len(chosen), default=None)
    # Where it acts, in front of the norm or behind it, would matter if it did anything.
    head.require("dropout_ratio", 0, default=0.1)
    require_batch_norm(head)
    require_cross_entropy(head)
    require_plain_head(head, num_labels, input_transform="resize_concat")
    fields = {
        "encoder_out_indices": [out_indices[index] for index in chosen],
        "decoder_dropout": 0.0,
        "use_batch_norm": True,
        "semantic_loss_ignore_index": head.use_index("ignore_index", 255),
    }
    head.finish()
    return fields, num_labels


def read_image_processor(original: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `LinearHeadImageProcessor` or `VitAdapterImageProcessor`.

    Args:
        original: `test_pipeline` (also inside `protocol`) and `reduce_zero_label` are read. Without a pipeline photos
            are resized to the windows' height, as in all released models.

    Raises:
        ConversionError: If a step or a setting of the pipeline is not supported, naming it.
    """
    protocol = original.get("protocol") or {}
    pipeline = original.get("test_pipeline") or protocol.get("test_pipeline")
    arguments: dict[str, Any] = {
        "do_reduce_labels": reduces_labels({**protocol, **original}, default=False),
        "image_mean": IMAGENET_DEFAULT_MEAN,
        "image_std": IMAGENET_DEFAULT_STD,
    }
    if architecture_of(original) is get_architecture("vit_adapter"):
        arguments["size_divisor"] = None if pipeline else 32
    if pipeline:
        return {**arguments, **image_processor_arguments(pipeline)}
    window = sliding_window(model_fields(original, "EncoderDecoderMask2Former"))
    return arguments if window is None else {**arguments, "size": {"shortest_edge": window["crop_size"][0]}}


__all__ = ["LINEAR", "MASK2FORMER", "architecture_of", "read_config", "read_image_processor"]
