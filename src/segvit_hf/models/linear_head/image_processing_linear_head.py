"""Image processors of the linear head: the shared ones with the values of DINOv2's evaluation."""

from typing import Any

from segvit_hf._compat import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from segvit_hf.image_processing.processor import (
    SemanticSegmentationImageProcessor,
    SemanticSegmentationImageProcessorPil,
)


class LinearHeadDefaults:
    """Short side 512, whatever the long side, and ImageNet's mean and standard deviation.

    Those of DINOv2's linear evaluation on ADE20K and VOC 2012 (its multi-scale heads: 640). DINOv3 resizes with
    `resize_method="pil"`.
    Label maps keep their ids (`do_reduce_labels=False`); ADE20K's own annotation files need `do_reduce_labels=True`.
    """

    size: Any = {"shortest_edge": 512}
    image_mean = IMAGENET_DEFAULT_MEAN
    image_std = IMAGENET_DEFAULT_STD


class LinearHeadImageProcessor(LinearHeadDefaults, SemanticSegmentationImageProcessor):  # type: ignore[misc]
    """The linear head's image processor, torchvision backend; default values of [`LinearHeadDefaults`]."""


class LinearHeadImageProcessorPil(LinearHeadDefaults, SemanticSegmentationImageProcessorPil):  # type: ignore[misc]
    """The linear head's image processor, PIL backend; same defaults, same pixels as [`LinearHeadImageProcessor`]."""


__all__ = ["LinearHeadImageProcessor", "LinearHeadImageProcessorPil"]
