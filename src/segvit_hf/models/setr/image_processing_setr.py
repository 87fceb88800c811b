"""Image processors of SETR (fudan-zvg/SETR): the shared ones with the values of its ADE20K models."""

from segvit_hf._compat import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from segvit_hf.image_processing.processor import (
    SemanticSegmentationImageProcessor,
    SemanticSegmentationImageProcessorPil,
)


class SetrDefaults:
    """Short side 512, long side at most 2048, ImageNet's mean and standard deviation.

    Those of `configs/_base_/datasets/ade20k.py` of the original.
    Label maps keep their ids (`do_reduce_labels=False`); ADE20K's own annotation files need `do_reduce_labels=True`.
    """

    image_mean = IMAGENET_DEFAULT_MEAN
    image_std = IMAGENET_DEFAULT_STD


class SetrImageProcessor(SetrDefaults, SemanticSegmentationImageProcessor):  # type: ignore[misc]
    """SETR's image processor, torchvision backend; default values of [`SetrDefaults`]."""


class SetrImageProcessorPil(SetrDefaults, SemanticSegmentationImageProcessorPil):  # type: ignore[misc]
    """SETR's image processor, PIL backend; same defaults and same pixels as [`SetrImageProcessor`]."""


__all__ = ["SetrImageProcessor", "SetrImageProcessorPil"]
