"""Photos and label maps that cannot be used."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Scenes:
    """Photos and label maps, to be damaged, and the flags that name them."""

    root: Path
    flags: list[str]

    def photo(self, part: str, name: str) -> Path:
        return self.root / part / "images" / name

    def label_map(self, part: str, name: str) -> Path:
        return self.root / part / "annotations" / name


def corrupt(scenes: Scenes, part: str, name: str) -> Path:
    path = scenes.photo(part, name)
    path.write_bytes(path.read_bytes()[:200])
    return path


def resize_map(scenes: Scenes, part: str, name: str) -> Path:
    path = scenes.label_map(part, name)
    Image.open(path).resize((7, 9), Image.Resampling.NEAREST).save(path)
    return path


def unknown_label(scenes: Scenes, part: str, name: str) -> Path:
    path = scenes.label_map(part, name)
    ids = np.array(Image.open(path))
    ids[0, 0] = 77
    Image.fromarray(ids).save(path)
    return path


def empty(scenes: Scenes, part: str, name: str) -> Path:
    scenes.photo(part, name).write_bytes(b"")
    return scenes.photo(part, name)


# Damage: what makes it (and returns the file that is to be named), and what the message says.
DAMAGES: dict[str, tuple[Callable[[Scenes, str, str], Path], str]] = {
    "corrupt photo": (corrupt, "cannot be read"),
    "empty photo": (empty, "cannot be read"),
    "map of another size": (resize_map, "the label map is 7x9 but its photo"),
    "unknown label": (unknown_label, "ids out of range in 1 pixels: 77; expected 0 to 5 for 6 classes"),
}
