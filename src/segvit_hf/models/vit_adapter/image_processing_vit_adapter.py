"""Image processors of ViT-Adapter (czczup/ViT-Adapter): the shared ones with its second resize to multiples of 32."""

from segvit_hf._compat import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from segvit_hf.image_processing.processor import (
    SemanticSegmentationImageProcessor,
    SemanticSegmentationImageProcessorPil,
)


class VitAdapterDefaults:
    """Short side 512, long side at most 2048, then a second resize up to multiples of 32.

    Those of the original's configurations for ADE20K at 512x512, with ImageNet's mean and standard deviation (all
    models but AugReg-B and -L).
    Label maps keep their ids (`do_reduce_labels=False`); ADE20K's own annotation files need `do_reduce_labels=True`.
    """

    size_divisor: int | None = 32
    image_mean = IMAGENET_DEFAULT_MEAN
    image_std = IMAGENET_DEFAULT_STD


class VitAdapterImageProcessor(VitAdapterDefaults, SemanticSegmentationImageProcessor):  # type: ignore[misc]
    """ViT-Adapter's image processor, torchvision backend; default values of [`VitAdapterDefaults`]."""


class VitAdapterImageProcessorPil(VitAdapterDefaults, SemanticSegmentationImageProcessorPil):  # type: ignore[misc]
    """ViT-Adapter's image processor, PIL backend; same defaults and same pixels as [`VitAdapterImageProcessor`]."""


__all__ = ["VitAdapterImageProcessor", "VitAdapterImageProcessorPil"]
