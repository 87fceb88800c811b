"""From a photo to its label map, as the command line asks for it."""

from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedModel

from segvit_hf.image_processing.processor import SemanticSegmentationProcessing
from segvit_hf.image_processing.reading import read_image
from segvit_hf.image_processing.size_rules import Size
from segvit_hf.inference.photo_size import scaled_size, size_within_memory
from segvit_hf.inference.segment import segment_at


@dataclass(frozen=True)
class PhotoSegmenter:
    """`segment` with `--max-side` and without warnings: who calls it is told the size that was used.

    Attributes:
        model: In eval mode, on its device.
        image_processor: The model's.
        scales: As for `segment`.
        flip: As for `segment`.
        max_side: Photos with a longer side are segmented at this size. By default memory decides, as in `segment`.
    """

    model: PreTrainedModel
    image_processor: SemanticSegmentationProcessing
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    max_side: int | None = None

    def __call__(self, photo: np.ndarray) -> tuple[np.ndarray, Size]:
        """Segments one photo.

        Args:
            photo: uint8 RGB (height, width, 3).

        Returns:
            The label map (height, width), int64, and the (height, width) at which it was made.
        """
        size = self.working_size(photo.shape[0], photo.shape[1])
        pixels = read_image(photo, input_data_format="channels_last")
        label_map = segment_at(size, self.model, self.image_processor, pixels, self.scales, self.flip)
        return label_map.numpy(), size

    def working_size(self, height: int, width: int) -> Size:
        """The photo's own size, unless `max_side` or the memory for the logits asks for a smaller one."""
        size = (height, width)
        if self.max_side is None:
            return size_within_memory(size, self.model.config.num_labels, self.image_processor, self.scales)
        return size if max(size) <= self.max_side else scaled_size(size, self.max_side / max(size))


__all__ = ["PhotoSegmenter"]
