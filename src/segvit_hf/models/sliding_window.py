"""Overlapping windows over inputs larger than the training crop, as mmsegmentation's slide inference does it.

The form of the configuration field, and the arithmetic that obeys it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from segvit_hf.encoders.configuration_vit import as_pair


def validated_sliding_window(sliding_window: Any) -> dict[str, Any] | None:
    """The configuration field `sliding_window` in its one stored form.

    Args:
        sliding_window: `None` (inputs are run whole), or `{"crop_size": ..., "stride": ...}` in pixels, each a number
            or `(height, width)`; a pair `(crop_size, stride)` is read as the same.

    Returns:
        `None` or `{"crop_size": [height, width], "stride": [height, width]}`.

    Raises:
        ValueError: Another form, or a stride that would leave pixels between windows.
    """
    if sliding_window is None:
        return None
    if isinstance(sliding_window, Sequence) and not isinstance(sliding_window, str) and len(sliding_window) == 2:
        sliding_window = dict(zip(("crop_size", "stride"), sliding_window, strict=True))
    if not isinstance(sliding_window, Mapping) or set(sliding_window) != {"crop_size", "stride"}:
        raise ValueError(
            "sliding_window: expected None or {'crop_size': (height, width), 'stride': (height, width)} in pixels, "
            f"found {sliding_window!r}."
        )
    crop_size, stride = as_pair(sliding_window["crop_size"]), as_pair(sliding_window["stride"])
    if not all(0 < step <= side for step, side in zip(stride, crop_size, strict=True)):
        raise ValueError(f"sliding_window: expected a stride between 1 and the crop size {crop_size}, found {stride}.")
    return {"crop_size": list(crop_size), "stride": list(stride)}


def square_window(side: int, sliding_window: Mapping[str, Any]) -> dict[str, Any]:
    """Square windows of a side in pixels, in the place of larger ones: no further apart than they are wide."""
    stride_height, stride_width = sliding_window["stride"]
    return {"crop_size": [side, side], "stride": [min(stride_height, side), min(stride_width, side)]}


def window_starts(side: int, crop: int, stride: int) -> list[int]:
    """Where windows start along one side: every `stride` pixels, the last one shifted back to end at the border."""
    num_windows = max(side - crop + stride - 1, 0) // stride + 1
    return [max(min(index * stride, side - crop), 0) for index in range(num_windows)]


def sliding_windows(
    size: tuple[int, int], crop_size: tuple[int, int], stride: tuple[int, int]
) -> Iterator[tuple[slice, slice]]:
    """Row and column slices of every window, row by row; all have the same size, at most `crop_size`."""
    for top in window_starts(size[0], crop_size[0], stride[0]):
        for left in window_starts(size[1], crop_size[1], stride[1]):
            yield slice(top, min(top + crop_size[0], size[0])), slice(left, min(left + crop_size[1], size[1]))


def sliding_window_logits(
    predict: Callable[[torch.Tensor], torch.Tensor],
    pixel_values: torch.Tensor,
    *,
    crop_size: tuple[int, int],
    stride: tuple[int, int],
    max_batch_size: int = 8,
) -> torch.Tensor:
    """Averages what `predict` gives for overlapping windows.

    Args:
        predict: Maps windows (n, channels, crop height, crop width) to logits (n, num_labels, the same size).
        pixel_values: (batch, channels, height, width).
        crop_size: (height, width) of a window in pixels.
        stride: (height, width) in pixels between the starts of neighboring windows.
        max_batch_size: How many windows, over all images, are predicted at once.

    Returns:
        (batch, num_labels, height, width).
    """
    batch_size, _, height, width = pixel_values.shape
    windows = list(sliding_windows((height, width), crop_size, stride))
    windows_at_once = max(max_batch_size // batch_size, 1)
    logits, counts = None, pixel_values.new_zeros(1, 1, height, width, dtype=torch.float32)
    for first in range(0, len(windows), windows_at_once):
        group = windows[first : first + windows_at_once]
        predicted = predict(torch.cat([pixel_values[:, :, rows, columns] for rows, columns in group]))
        if logits is None:
            logits = predicted.new_zeros(batch_size, predicted.shape[1], height, width)
        for (rows, columns), window_logits in zip(group, predicted.split(batch_size), strict=True):
            logits[:, :, rows, columns] += window_logits
            counts[:, :, rows, columns] += 1
    assert logits is not None  # there is always at least one window
    return logits.div_(counts.to(logits.dtype))


__all__ = ["sliding_window_logits", "square_window", "sliding_windows", "validated_sliding_window", "window_starts"]
