"""Multi-scale and flip augmentation at test time: the mean of the views' probabilities at the photo's size.

Follows `inference` and `aug_test` of mmsegmentation's `EncoderDecoder` (also used by SegViT, SETR and ViT-Adapter) and
`segm.model.utils.inference` of Segmenter: the logits of every view are resized to the photo, passed through softmax
and un-flipped; the probabilities are averaged and the most probable class is taken.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from segvit_hf.image_processing.postprocessing import RunningArgmax, class_chunks, resize_logits, resized_argmax
from segvit_hf.image_processing.size_rules import Size


@dataclass(frozen=True)
class View:
    """What the model says about one augmented version of a photo.

    Attributes:
        logits: (classes, height, width) at the network's size, padding already cut off.
        flipped: whether the network saw the photo mirrored left to right.
        weight: how many augmentations coincide in this view.
    """

    logits: Tensor
    flipped: bool = False
    weight: int = 1


def most_probable_classes(views: Sequence[View], size: Size, max_elements: int | None = None) -> Tensor:
    """The label map of the views' mean probabilities, holding a few classes at the photo's size at a time.

    Two passes: the softmax denominators of every view, then the probabilities, class chunk by class chunk. Memory: the
    views' logits, one (height, width) map per view and a few times `max_elements` values. A single view that is not
    flipped needs no softmax: its label map is exactly that of `post_process_semantic_segmentation`.

    Args:
        views: at least one.
        size: (height, width) of the photo.

    Returns:
        int64 tensor of shape `size` on the device of the logits.
    """
    if len(views) == 1 and not views[0].flipped:
        return resized_argmax(views[0].logits, size, max_elements)
    total = sum(view.weight for view in views)
    denominators = [_log_sum_exp(view, size, max_elements) for view in views]
    running = RunningArgmax()
    for classes in class_chunks(views[0].logits.shape[0], size, max_elements):
        probabilities: Tensor | None = None
        for view, denominator in zip(views, denominators, strict=True):
            scores = (_unflipped(view, classes, size) - denominator).exp_() * (view.weight / total)
            probabilities = scores if probabilities is None else probabilities.add_(scores)
        assert probabilities is not None
        running.update(classes.start, probabilities)
    return running.label_map()


def accumulate_probabilities(views: Iterable[View], size: Size) -> Tensor:
    """The same label map with all classes at the photo's size in memory, but only one view at a time.

    Cheaper than `most_probable_classes` where the photo is smaller than all network inputs together.
    """
    probabilities: Tensor | None = None
    for view in views:
        scores = resize_logits(view.logits, size).softmax(dim=0)
        scores = (scores.flip(-1) if view.flipped else scores) * view.weight
        probabilities = scores if probabilities is None else probabilities.add_(scores)
    if probabilities is None:
        raise ValueError("No views to average.")
    return probabilities.argmax(dim=0)


def _unflipped(view: View, classes: slice, size: Size) -> Tensor:
    """Some classes' logits at the photo's size, as the photo is oriented."""
    scores = resize_logits(view.logits[classes], size)
    return scores.flip(-1) if view.flipped else scores


def _log_sum_exp(view: View, size: Size, max_elements: int | None) -> Tensor:
    result: Tensor | None = None
    for classes in class_chunks(view.logits.shape[0], size, max_elements):
        part = _unflipped(view, classes, size).logsumexp(dim=0)
        result = part if result is None else torch.logaddexp(result, part)
    if result is None:
        raise ValueError("The logits have no classes.")
    return result
