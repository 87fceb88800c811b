"""Image processors of SegViT (zbwxp/SegVit): the shared ones, whose default values are those of its ViT-L models."""

from segvit_hf.image_processing.processor import (
    SemanticSegmentationImageProcessor,
    SemanticSegmentationImageProcessorPil,
)


class SegVitImageProcessor(SemanticSegmentationImageProcessor):
    """SegViT's image processor, torchvision backend.

    Defaults: short side 512, long side at most 2048 (`configs/_base_/datasets/ade20k.py` of the original), mean and
    standard deviation 0.5 (its ViT-L models).
    Label maps keep their ids (`do_reduce_labels=False`); ADE20K's own annotation files need `do_reduce_labels=True`.
    """


class SegVitImageProcessorPil(SemanticSegmentationImageProcessorPil):
    """SegViT's image processor, PIL backend; same defaults and same pixels as [`SegVitImageProcessor`]."""


__all__ = ["SegVitImageProcessor", "SegVitImageProcessorPil"]
