"""What `segvit-hf predict` writes: every kind of result is one small class.

A further kind is one more of them and a line in `open_outputs` (`cli/predict.py`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from segvit_hf.video import VideoReader, VideoWriter
from segvit_hf.visualization import overlay, save_overlay

# Takes a frame, its label map and its time stamp.
FrameWriter = Callable[[np.ndarray, np.ndarray, int], None]
# From an input's name, without ending, and an ending to the file to write.
OutputFile = Callable[[Path, str], Path]


class PredictionOutput(Protocol):
    """One kind of result. Photos and frames are uint8 RGB (height, width, 3), label maps integer (height, width)."""

    def write_photo(self, name: Path, photo: np.ndarray, label_map: np.ndarray) -> None:
        """Writes the result of one photo."""
        ...

    def video(self, name: Path, video: VideoReader) -> AbstractContextManager[FrameWriter]:
        """While open: a function that takes the frames of a video in their order."""
        ...


@dataclass(frozen=True)
class OverlayOutput:
    """The photo with the classes' colors over it, as PNG; videos as MP4, without the legend, which has no fixed size.

    Attributes:
        output_file: Where the files go.
        names: Class id to name.
        palette, alpha, legend: As for `segvit_hf.visualization.overlay`.
    """

    output_file: OutputFile
    names: Mapping[int, str]
    palette: Sequence[Sequence[int]] | None
    alpha: float = 0.5
    legend: bool = True

    def write_photo(self, name: Path, photo: np.ndarray, label_map: np.ndarray) -> None:
        """Writes `<name>.png`."""
        picture = self._overlay(photo, label_map, self.legend)
        save_overlay(picture, self.output_file(name, ".png"))

    @contextmanager
    def video(self, name: Path, video: VideoReader) -> Iterator[FrameWriter]:
        """Writes `<name>.mp4` with the time stamps of the original."""
        path = self.output_file(name, ".mp4")
        with VideoWriter(path, rate=video.rate, time_base=video.time_base) as writer:

            def write(frame: np.ndarray, label_map: np.ndarray, time: int) -> None:
                writer.write(np.asarray(self._overlay(frame, label_map, legend=False)), time)

            yield write

    def _overlay(self, photo: np.ndarray, label_map: np.ndarray, legend: bool) -> Image.Image:
        # Models predict nothing but classes: 255 is one, too, where there are so many.
        nothing = -1
        return overlay(
            photo, label_map, self.names, self.palette, alpha=self.alpha, legend=legend, ignore_index=nothing
        )


@dataclass(frozen=True)
class LabelMapOutput:
    """Class ids as gray values of a PNG of the photo's size (16 bits for more than 256 classes).

    Attributes:
        output_file: Where the files go.
        num_labels: Number of classes.
    """

    output_file: OutputFile
    num_labels: int

    def write_photo(self, name: Path, photo: np.ndarray, label_map: np.ndarray) -> None:  # noqa: ARG002
        """Writes `<name>.png`."""
        self._write(name, label_map)

    def _write(self, name: Path, label_map: np.ndarray) -> None:
        ids = label_map.astype(np.uint8 if self.num_labels <= 256 else np.uint16)
        save_overlay(Image.fromarray(ids), self.output_file(name, ".png"))

    @contextmanager
    def video(self, name: Path, video: VideoReader) -> Iterator[FrameWriter]:  # noqa: ARG002
        """Writes `<name>/000000.png`, `<name>/000001.png` and so on, one per frame."""
        numbers = count()

        def write(_frame: np.ndarray, label_map: np.ndarray, _time: int) -> None:
            self._write(name / f"{next(numbers):06d}", label_map)

        yield write


__all__ = ["FrameWriter", "LabelMapOutput", "OutputFile", "OverlayOutput", "PredictionOutput"]
