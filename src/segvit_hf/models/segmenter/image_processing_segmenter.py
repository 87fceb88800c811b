"""Image processors of Segmenter (rstrudel/segmenter): the shared ones, which keep a photo's size by default."""

from segvit_hf.image_processing.processor import (
    SemanticSegmentationImageProcessor,
    SemanticSegmentationImageProcessorKwargs,
    SemanticSegmentationImageProcessorPil,
)


class SegmenterImageProcessorKwargs(SemanticSegmentationImageProcessorKwargs, total=False):
    """Fields of Segmenter's image processors; see [`SemanticSegmentationImageProcessorKwargs`]."""


class SegmenterImageProcessor(SemanticSegmentationImageProcessor):
    """Segmenter's image processor, torchvision backend.

    Defaults: `segm/inference.py` of the original. The photo keeps its size (`do_resize=False`; the model runs it in
    windows), mean and standard deviation are 0.5 (its ViT models; DeiT models use ImageNet's). `do_resize=True` is
    `segm/eval/miou.py`, with the limits of its ADE20K runs: short side 512, long side at most 2048.
    """

    valid_kwargs = SegmenterImageProcessorKwargs
    do_resize = False


class SegmenterImageProcessorPil(SemanticSegmentationImageProcessorPil):
    """Segmenter's image processor, PIL backend; same defaults and same pixels as [`SegmenterImageProcessor`]."""

    valid_kwargs = SegmenterImageProcessorKwargs
    do_resize = False


__all__ = ["SegmenterImageProcessor", "SegmenterImageProcessorKwargs", "SegmenterImageProcessorPil"]
