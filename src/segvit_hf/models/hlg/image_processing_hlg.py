"""Image processors of HLG (fudan-zvg/SETR): the shared ones with the values of its ADE20K models."""

from segvit_hf._compat import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from segvit_hf.image_processing.processor import (
    SemanticSegmentationImageProcessor,
    SemanticSegmentationImageProcessorPil,
)
from segvit_hf.models.hlg.detection_processing import ObjectDetectionProcessing


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


__all__ = ["HlgImageProcessor", "HlgImageProcessorPil"]
