"""Photos that are too large for the memory: the size at which to segment them, the way there and back."""

import math
from collections.abc import Iterable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from segvit_hf.image_processing.processor import SemanticSegmentationProcessing
from segvit_hf.image_processing.size_rules import Size

# float32 values of the logits of all classes at the network's input size: 2 GiB. Models that run photos at their own
# size would otherwise need 14 GiB for 150 classes at 6000x4000.
MAX_LOGITS = 2**29


def size_within_memory(
    size: Size,
    num_labels: int | None,
    image_processor: SemanticSegmentationProcessing,
    scales: Iterable[float] = (1.0,),
    max_logits: int | None = MAX_LOGITS,
) -> Size:
    """The size at which a photo is to be segmented: its own, or a smaller one of the same shape.

    Only photos that reach the network at their own size are made smaller. A processor that resizes decides the size of
    the network's input itself: a smaller photo would change nothing.

    Args:
        size: (height, width) of the photo.
        num_labels: Number of the model's classes; `None`, not known: no limit.
        image_processor: Decides the network's inputs.
        scales: Those of `segment`; the largest input counts, as they are run one after the other.
        max_logits: How many values the logits of one input may have; `None`: no limit.

    Raises:
        ValueError: `max_logits` is below 1.
    """
    if max_logits is not None and max_logits < 1:
        raise ValueError(f"max_logits must be None or at least 1, found {max_logits}.")
    if max_logits is None or num_labels is None or image_processor.do_resize:
        return size
    inputs = [image_processor.get_input_geometry(*size, scale).network_input for scale in scales]
    num_logits = num_labels * max(math.prod(network_input) for network_input in inputs)
    return size if num_logits <= max_logits else scaled_size(size, (max_logits / num_logits) ** 0.5)


def scaled_size(size: Size, factor: float) -> Size:
    """(height, width) times a factor of at most 1, rounded down, at least one pixel."""
    return max(int(size[0] * factor), 1), max(int(size[1] * factor), 1)


def smaller_photo(photo: Tensor, size: Size) -> Tensor:
    """A photo (channels, height, width), uint8 or float32, resized bilinearly and with antialiasing, on the CPU."""
    channels = [Image.fromarray(channel) for channel in photo.cpu().numpy()]
    resized = [channel.resize(size[::-1], Image.Resampling.BILINEAR) for channel in channels]
    return torch.from_numpy(np.stack([np.asarray(channel) for channel in resized]))


def larger_label_map(label_map: Tensor, size: Size) -> Tensor:
    """A label map (height, width) at another size by nearest neighbor, pixel centers on pixel centers."""
    rows, columns = (
        torch.from_numpy(((np.arange(side) + 0.5) * (small / side)).astype(np.int64))
        for side, small in zip(size, label_map.shape, strict=True)
    )
    return label_map[rows][:, columns]


__all__ = ["MAX_LOGITS", "larger_label_map", "scaled_size", "size_within_memory", "smaller_photo"]
