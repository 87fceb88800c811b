"""What `segvit-hf predict` writes. Every kind of result is one small class; a further kind is one more of them and a line
in `open_outputs` (`predict.py`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from segvit_hf.video import VideoReader, VideoWriter
from segvit_hf.visualization import overlay, save_overlay

FrameWriter = Callable[[np.ndarray, np.ndarray, int], None]


class PredictionOutput(Protocol):
    """One kind of result. Photos and frames are uint8 RGB (height, width, 3), label maps integer (height, width)."""

    def write_photo(self, name: Path, photo: np.ndarray, label_map: np.ndarray) -> None:
        """Writes the result of one photo."""
        ...

    def video(self, name: Path, video: VideoReader) -> AbstractContextManager[FrameWriter]:
        """While open: a function that takes a frame, its label map and its time stamp, in order."""
        ...


@dataclass(frozen=True)
class OutputPlace:
    """Where the files of one kind go: below a folder under the inputs' names, or (a single input) to one given file."""

    folder: Path
    file: Path | None = None

    def path(self, name: Path, suffix: str) -> Path:
        """The file for the result called `name`."""
        return self.file if self.file is not None else self.folder / name.with_name(name.name + suffix)


@dataclass(frozen=True)
class OverlayOutput:
    """The photo with the classes' colors over it, as PNG; videos as MP4, without the legend, which has no fixed size.

    Attributes: see `segvit_hf.visualization.overlay`.
    """

    place: OutputPlace
    id2label: Mapping[int, str]
    palette: Sequence[Sequence[int]] | None
    alpha: float = 0.5
    legend: bool = True

    def write_photo(self, name: Path, photo: np.ndarray, label_map: np.ndarray) -> None:
        """Writes `<name>.png`."""
        picture = self._overlay(photo, label_map, self.legend)
        save_overlay(picture, self.place.path(name, ".png"))

    @contextmanager
    def video(self, name: Path, video: VideoReader) -> Iterator[FrameWriter]:
        """Writes `<name>.mp4` with the time stamps of the original."""
        path = self.place.path(name, ".mp4")
        with VideoWriter(path, rate=video.rate, time_base=video.time_base) as writer:

            def write(frame: np.ndarray, label_map: np.ndarray, time: int) -> None:
                writer.write(np.asarray(self._overlay(frame, label_map, legend=False)), time)

            yield write

    def _overlay(self, photo: np.ndarray, label_map: np.ndarray, legend: bool) -> Image.Image:
        return overlay(photo, label_map, self.id2label, self.palette, alpha=self.alpha, legend=legend)


@dataclass(frozen=True)
class LabelMapOutput:
    """Class ids as gray values of a PNG of the photo's size (16 bits for more than 256 classes)."""

    place: OutputPlace
    num_labels: int

    def write_photo(self, name: Path, photo: np.ndarray, label_map: np.ndarray) -> None:
        """Writes `<name>.png`."""
        ids = label_map.astype(np.uint8 if self.num_labels <= 256 else np.uint16)
        save_overlay(Image.fromarray(ids), self.place.path(name, ".png"))

    @contextmanager
    def video(self, name: Path, video: VideoReader) -> Iterator[FrameWriter]:
        """Writes `<name>/000000.png`, `<name>/000001.png` and so on, one per frame."""
        if self.place.file is not None:
            raise ValueError(f"{self.place.file}: the label maps of a video need a folder.")
        num_frames = 0

        def write(frame: np.ndarray, label_map: np.ndarray, time: int) -> None:
            nonlocal num_frames
            self.write_photo(name / f"{num_frames:06d}", frame, label_map)
            num_frames += 1

        yield write


__all__ = ["FrameWriter", "LabelMapOutput", "OutputPlace", "OverlayOutput", "PredictionOutput"]
