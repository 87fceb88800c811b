"""Image processors of HLG (fudan-zvg/SETR): the shared ones with the values of its ADE20K models."""

from typing import Any

from segvit_hf._compat import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, PILImageResampling
from segvit_hf.image_processing.processor import (
    SemanticSegmentationImageProcessor,
    SemanticSegmentationImageProcessorPil,
)
from segvit_hf.models.hlg.image_processing_detection import ObjectDetectionProcessing

CLASSIFICATION_CROP = 224
# Of Swin's evaluation, which the classification code is adopted from.
SHORT_SIDE_PER_CROP = 256 / 224


class HlgDefaults(ObjectDetectionProcessing):
    """Short side 512, long side at most 2048, ImageNet's mean and standard deviation.

    Those of `configs/_base_/datasets/ade20k.py` of the original. Its detectors see photos within 1333x800 pixels:
    `size={"shortest_edge": 800, "longest_edge": 1333}`.
    """

    image_mean = IMAGENET_DEFAULT_MEAN
    image_std = IMAGENET_DEFAULT_STD


class HlgImageProcessor(HlgDefaults, SemanticSegmentationImageProcessor):  # type: ignore[misc]
    """HLG's image processor, torchvision backend; default values of [`HlgDefaults`]."""


class HlgImageProcessorPil(HlgDefaults, SemanticSegmentationImageProcessorPil):  # type: ignore[misc]
    """HLG's image processor, PIL backend; same defaults and same pixels as [`HlgImageProcessor`]."""


def classification_arguments(crop: int = CLASSIFICATION_CROP) -> dict[str, Any]:
    """Fields of transformers' `BitImageProcessor` with which the classification code of the original evaluates.

    Args:
        crop: Side of the center crop in pixels; the short side of the photo before it is 8/7 of that.
    """
    return {
        "size": {"shortest_edge": int(SHORT_SIDE_PER_CROP * crop)},
        "crop_size": {"height": crop, "width": crop},
        "resample": PILImageResampling.BICUBIC,
        "image_mean": IMAGENET_DEFAULT_MEAN,
        "image_std": IMAGENET_DEFAULT_STD,
    }


def classification_image_processor(crop: int = CLASSIFICATION_CROP) -> Any:
    """The image processor of HLG's classifiers, transformers' own: ours make label maps, which cover whole photos."""
    from transformers import BitImageProcessor  # here: it says so where it finds no torchvision

    return BitImageProcessor(**classification_arguments(crop))


__all__ = [
    "CLASSIFICATION_CROP",
    "HlgImageProcessor",
    "HlgImageProcessorPil",
    "classification_arguments",
    "classification_image_processor",
]
