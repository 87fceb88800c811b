"""Image processors of Segmenter (rstrudel/segmenter): the shared ones, which keep a photo's size by default."""

from segvit_hf.image_processing.processor import (
    SemanticSegmentationImageProcessor,
    SemanticSegmentationImageProcessorPil,
)


class SegmenterDefaults:
    """Those of `segm/inference.py` of the original.

    The photo keeps its size (`do_resize=False`; the model runs it in windows), mean and standard deviation are 0.5
    (its ViT models; DeiT models use ImageNet's). `do_resize=True` is `segm/eval/miou.py`, with the limits of its
    ADE20K runs: short side 512, long side at most 2048.
    """

    do_resize = False


class SegmenterImageProcessor(SegmenterDefaults, SemanticSegmentationImageProcessor):  # type: ignore[misc]
    """Segmenter's image processor, torchvision backend; default values of [`SegmenterDefaults`]."""


class SegmenterImageProcessorPil(SegmenterDefaults, SemanticSegmentationImageProcessorPil):  # type: ignore[misc]
    """Segmenter's image processor, PIL backend; same defaults and same pixels as [`SegmenterImageProcessor`]."""


__all__ = ["SegmenterImageProcessor", "SegmenterImageProcessorPil"]
