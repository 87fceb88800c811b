"""Generated pictures for classifiers and detectors: one colored rectangle on a noisy gray ground."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

COLORS = ((220, 40, 40), (40, 200, 60), (50, 80, 220))


@dataclass(frozen=True)
class Picture:
    """`box` is left, top, width, height in pixels; `label` indexes `COLORS`."""

    image: Image.Image
    label: int
    box: tuple[int, int, int, int]

    @property
    def annotation(self) -> dict[str, object]:
        item = {"bbox": list(self.box), "category_id": self.label, "area": self.box[2] * self.box[3], "iscrowd": 0}
        return {"image_id": 0, "annotations": [item]}


def pictures(count: int, side: int = 64, seed: int = 0) -> list[Picture]:
    """So many pictures of side x side pixels."""
    rng = np.random.default_rng(seed)
    found = []
    for index in range(count):
        pixels = rng.integers(100, 140, (side, side, 3), dtype=np.uint8)
        width, height = (int(value) for value in rng.integers(side // 3, side // 2, 2))
        left, top = int(rng.integers(0, side - width)), int(rng.integers(0, side - height))
        label = index % len(COLORS)
        pixels[top : top + height, left : left + width] = COLORS[label]
        found.append(Picture(Image.fromarray(pixels), label, (left, top, width, height)))
    return found
