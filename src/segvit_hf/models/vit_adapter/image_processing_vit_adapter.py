"""Image processors of ViT-Adapter (czczup/ViT-Adapter): the shared ones with its second resize to multiples of 32."""

from typing import Any

from segvit_hf.image_processing.processor import (
    SemanticSegmentationImageProcessor,
    SemanticSegmentationImageProcessorKwargs,
    SemanticSegmentationImageProcessorPil,
)

IMAGENET_MEAN = [0.485, 0.456, 0.406]
IMAGENET_STD = [0.229, 0.224, 0.225]


class VitAdapterImageProcessorKwargs(SemanticSegmentationImageProcessorKwargs, total=False):
    """Fields of ViT-Adapter's image processors; see [`SemanticSegmentationImageProcessorKwargs`]."""


class VitAdapterImageProcessor(SemanticSegmentationImageProcessor):
    """ViT-Adapter's image processor, torchvision backend.

    Defaults: short side 512, long side at most 2048, then a second resize up to multiples of 32 (the original's
    configurations for ADE20K at 512x512), ImageNet's mean and standard deviation (all models but AugReg-B and -L).
    Label maps keep their ids (`do_reduce_labels=False`); ADE20K's own annotation files need `do_reduce_labels=True`.
    """

    valid_kwargs = VitAdapterImageProcessorKwargs
    size_divisor: int | None = 32
    image_mean: Any = IMAGENET_MEAN
    image_std: Any = IMAGENET_STD


class VitAdapterImageProcessorPil(SemanticSegmentationImageProcessorPil):
    """ViT-Adapter's image processor, PIL backend; same defaults and pixels as [`VitAdapterImageProcessor`]."""

    valid_kwargs = VitAdapterImageProcessorKwargs
    size_divisor: int | None = 32
    image_mean: Any = IMAGENET_MEAN
    image_std: Any = IMAGENET_STD


__all__ = ["VitAdapterImageProcessor", "VitAdapterImageProcessorKwargs", "VitAdapterImageProcessorPil"]
