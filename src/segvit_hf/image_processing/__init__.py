"""The image processor that all architectures share: reading, size rules, OpenCV's resize, label maps from logits."""

from segvit_hf.image_processing.processor import (
    SemanticSegmentationImageProcessor,
    SemanticSegmentationImageProcessorKwargs,
    SemanticSegmentationImageProcessorPil,
    SemanticSegmentationProcessing,
)

__all__ = [
    "SemanticSegmentationImageProcessor",
    "SemanticSegmentationImageProcessorKwargs",
    "SemanticSegmentationImageProcessorPil",
    "SemanticSegmentationProcessing",
]
