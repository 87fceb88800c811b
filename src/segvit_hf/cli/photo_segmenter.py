"""From a photo to its label map, as the command line asks for it."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from segvit_hf.cli.model_loading import LoadedModel
from segvit_hf.inference.segment import segment

# Values of all classes' logits at the network's input size: 2 GiB in float32. Models that run photos at their own size
# would otherwise need 14 GiB for 150 classes at 6000x4000.
MAX_LOGITS = 2**29


@dataclass(frozen=True)
class PhotoSegmenter:
    """Calls `segment`, on a smaller copy of photos that are too large.

    Attributes:
        loaded: The model.
        scales, flip: As for `segment`.
        max_side: Photos with a longer side are segmented at this size. By default they only are where the memory for
            the logits asks for it.
    """

    loaded: LoadedModel
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    max_side: int | None = None

    def __call__(self, photo: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
        """Args:
            photo: uint8 RGB (height, width, 3).

        Returns:
            The label map (height, width), int64, and the (height, width) at which it was made.
        """
        picture = Image.fromarray(photo)
        size = self.working_size(photo.shape[0], photo.shape[1])
        if size != photo.shape[:2]:
            picture = picture.resize(size[::-1], Image.Resampling.BILINEAR)
        label_map = segment(self.loaded.model, self.loaded.image_processor, picture, self.scales, self.flip).numpy()
        if size != photo.shape[:2]:
            # Nearest neighbor, pixel centers on pixel centers.
            rows, columns = (
                ((np.arange(side) + 0.5) * (small / side)).astype(np.int64)
                for side, small in zip(photo.shape[:2], size, strict=True)
            )
            label_map = label_map[rows][:, columns]
        return label_map, size

    def working_size(self, height: int, width: int) -> tuple[int, int]:
        """The photo's own size, unless `max_side` or the memory for the logits asks for a smaller one."""
        factor = 1.0
        if self.max_side is not None:
            factor = min(factor, self.max_side / max(height, width))
        else:
            num_labels = self.loaded.model.config.num_labels
            geometries = [self.loaded.image_processor.get_input_geometry(height, width, s) for s in self.scales]
            num_logits = max(g.network_input[0] * g.network_input[1] for g in geometries) * num_labels
            # A processor that resizes decides the network's input itself; a smaller photo would change nothing.
            if num_logits > MAX_LOGITS and not self.loaded.image_processor.do_resize:
                factor = (MAX_LOGITS / num_logits) ** 0.5
        if factor == 1.0:
            return height, width
        return max(int(height * factor), 1), max(int(width * factor), 1)


__all__ = ["MAX_LOGITS", "PhotoSegmenter"]
