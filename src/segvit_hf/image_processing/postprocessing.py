"""From logits to label maps at the photo's size, with memory bounded by chunks of classes.

The plain computation (resize all classes to the photo's size, then arg-max) needs 14 GB for 150 classes at 6000x4000.
Classes are resized a few at a time here and a running maximum is kept: the result is the same, ties included.
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from segvit_hf.image_processing.size_rules import Size

# Number of float32 values of the classes that are resized together: 128 MB.
MAX_CHUNK_ELEMENTS = 2**25


def resize_logits(logits: Tensor, size: Size) -> Tensor:
    """Bilinear resize (half-pixel centers) of (classes, height, width) logits to (classes, *size), in float32."""
    logits = logits.to(torch.float32)
    if tuple(logits.shape[-2:]) == tuple(size):
        return logits
    return F.interpolate(logits[None], size=tuple(size), mode="bilinear", align_corners=False)[0]


def class_chunks(num_classes: int, size: Size, max_elements: int | None = None) -> Iterator[slice]:
    """Slices of consecutive classes (at least one) that hold at most `max_elements` values at `size` together."""
    max_elements = MAX_CHUNK_ELEMENTS if max_elements is None else max_elements
    classes_at_once = max(1, max_elements // (size[0] * size[1]))
    for start in range(0, num_classes, classes_at_once):
        yield slice(start, min(start + classes_at_once, num_classes))


class RunningArgmax:
    """Arg-max over classes that arrive in chunks; as in `torch.argmax` the first of equals wins, NaN above all."""

    def __init__(self) -> None:
        self._maximum: Tensor | None = None
        self._label_map: Tensor | None = None

    def update(self, first_class: int, scores: Tensor) -> None:
        """Take the scores (classes, height, width) of the classes from `first_class` on."""
        scores = scores.detach()
        if self._maximum is None or self._label_map is None:
            self._maximum, self._label_map = scores.max(dim=0)
            self._label_map += first_class
            return
        # A class at a time is what large photos come in: no arg-max over one class.
        maximum, winner = (scores[0], None) if len(scores) == 1 else scores.max(dim=0)
        # larger, or NaN where there was none yet
        better = (maximum <= self._maximum).logical_or_(self._maximum.isnan()).logical_not_()
        if winner is None:
            self._label_map.masked_fill_(better, first_class)
        else:
            self._label_map = torch.where(better, winner + first_class, self._label_map)
        # maximum() keeps NaN, as the comparison above wants it
        torch.maximum(maximum, self._maximum, out=self._maximum)

    def label_map(self) -> Tensor:
        """The int64 label map (height, width) of the classes seen so far."""
        if self._label_map is None:
            raise ValueError("No scores to take the arg-max of: the logits have no classes.")
        return self._label_map


def resized_argmax(logits: Tensor, size: Size, max_elements: int | None = None) -> Tensor:
    """`resize_logits(logits, size).argmax(dim=0)` without ever holding all resized classes.

    Args:
        logits: (classes, height, width), any floating-point dtype.
        size: (height, width) of the label map.
        max_elements: Number of values that classes which are resized together may have; `MAX_CHUNK_ELEMENTS` by
            default.

    Returns:
        int64 tensor of shape `size` on the device of the logits.
    """
    logits = logits.detach()
    running = RunningArgmax()
    for classes in class_chunks(logits.shape[0], size, max_elements):
        running.update(classes.start, resize_logits(logits[classes], size))
    return running.label_map()


def check_target_sizes(target_sizes: Tensor | Sequence[Sequence[int]], batch_size: int) -> list[Size]:
    """`target_sizes` as a list of (height, width).

    Raises:
        ValueError: Their number is not the batch size, or one is not a pair of positive integers.
    """
    sizes = target_sizes.tolist() if isinstance(target_sizes, Tensor) else list(target_sizes)
    if len(sizes) != batch_size:
        raise ValueError(
            f"target_sizes: expected one size per image of the batch of {batch_size}, found {len(sizes)}."
        )
    checked = []
    for size in sizes:
        values = [int(value) for value in size]
        if len(values) != 2 or any(number < 1 or number != value for number, value in zip(values, size, strict=True)):
            raise ValueError(f"target_sizes: expected pairs (height, width) of positive integers, found {size}.")
        checked.append((values[0], values[1]))
    return checked
