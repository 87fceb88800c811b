"""Image processors of SETR (fudan-zvg/SETR): the shared ones, whose default values are those of its ADE20K models."""

from segvit_hf.image_processing.processor import (
    SemanticSegmentationImageProcessor,
    SemanticSegmentationImageProcessorKwargs,
    SemanticSegmentationImageProcessorPil,
)

IMAGENET_MEAN = [0.485, 0.456, 0.406]
IMAGENET_STD = [0.229, 0.224, 0.225]


class SetrImageProcessorKwargs(SemanticSegmentationImageProcessorKwargs, total=False):
    """Fields of SETR's image processors; see [`SemanticSegmentationImageProcessorKwargs`]."""


class SetrImageProcessor(SemanticSegmentationImageProcessor):
    """SETR's image processor, torchvision backend.

    Defaults: short side 512, long side at most 2048 (`configs/_base_/datasets/ade20k.py` of the original), ImageNet's
    mean and standard deviation. Label maps keep their ids (`do_reduce_labels=False`); ADE20K's own annotation files
    need `do_reduce_labels=True`.
    """

    valid_kwargs = SetrImageProcessorKwargs
    image_mean = IMAGENET_MEAN
    image_std = IMAGENET_STD


class SetrImageProcessorPil(SemanticSegmentationImageProcessorPil):
    """SETR's image processor, PIL backend; same defaults and same pixels as [`SetrImageProcessor`]."""

    valid_kwargs = SetrImageProcessorKwargs
    image_mean = IMAGENET_MEAN
    image_std = IMAGENET_STD


__all__ = ["SetrImageProcessor", "SetrImageProcessorKwargs", "SetrImageProcessorPil"]
