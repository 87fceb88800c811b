"""Multi-scale and flip augmentation at test time: the mean of the views' probabilities at the photo's size.

Follows `inference` and `aug_test` of mmsegmentation 0.x's `EncoderDecoder` (also used by SegViT, SETR and
ViT-Adapter), `SegTTAModel` of 1.x (SegViTv2; only at a single scale does 1.x leave out the softmax, which changes no
label map) and `segm.model.utils.inference` of Segmenter: the logits of every view are resized to the photo, passed
through softmax and un-flipped; the probabilities are averaged and the most probable class is taken.
"""

import math
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
        flipped: Whether the network saw the photo mirrored left to right.
        weight: How many augmentations coincide in this view.
    """

    logits: Tensor
    flipped: bool = False
    weight: int = 1


def multi_view_argmax(
    views: Iterable[View], network_inputs: Sequence[Size], size: Size, max_elements: int | None = None
) -> Tensor:
    """The label map of the views' mean probabilities, by whichever of two computations is cheaper.

    Args:
        views: At least one; they are asked for one after the other.
        network_inputs: (height, width) of each view's network input, known before the views are.
        size: (height, width) of the photo.
        max_elements: Number of values that classes which are resized together may have, `MAX_CHUNK_ELEMENTS` by
            default.

    Returns:
        int64 tensor of shape `size` on the device of the logits.

    Raises:
        ValueError: There are no views, or they have no classes.
    """
    photo_is_smaller = math.prod(size) <= sum(math.prod(network_input) for network_input in network_inputs)
    if len(network_inputs) > 1 and photo_is_smaller:
        return accumulated_argmax(views, size)
    return chunked_argmax(list(views), size, max_elements)


def chunked_argmax(views: Sequence[View], size: Size, max_elements: int | None = None) -> Tensor:
    """`multi_view_argmax` with all views in memory, but only a few classes at a time at the photo's size.

    Two passes: the softmax denominators of every view, then the probabilities, class chunk by class chunk. Memory: the
    views' logits, one (height, width) map per view and a few times `max_elements` values. A single view that is not
    flipped needs no softmax: its label map is exactly that of `post_process_semantic_segmentation`.
    """
    if not views:
        raise ValueError("views: expected at least one, found none.")
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


def accumulated_argmax(views: Iterable[View], size: Size) -> Tensor:
    """`multi_view_argmax` with all classes at the photo's size in memory, but only one view at a time."""
    probabilities: Tensor | None = None
    for view in views:
        scores = resize_logits(view.logits, size).softmax(dim=0)
        scores = (scores.flip(-1) if view.flipped else scores) * view.weight
        probabilities = scores if probabilities is None else probabilities.add_(scores)
    if probabilities is None:
        raise ValueError("views: expected at least one, found none.")
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
        raise ValueError("logits: expected at least one class, found none.")
    return result
