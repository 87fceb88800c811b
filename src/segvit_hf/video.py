"""Reading and writing videos frame by frame, through PyAV.

Both directions hold a few frames at a time, however long the video is. PyAV is an optional dependency
(`pip install segvit-hf[video]`).
"""

from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import numpy as np

from segvit_hf.files import atomic_path
from segvit_hf.regular_files import check_regular_file

VIDEO_SUFFIXES = frozenset({".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"})
# What can be written, and the codecs to take, best first.
WRITABLE_CODECS = {
    ".mkv": ("libx264", "mpeg4"),
    ".mov": ("libx264", "mpeg4"),
    ".mp4": ("libx264", "mpeg4"),
    ".webm": ("libvpx-vp9", "libvpx"),
}
# What files say of their duration is not exact.
_SECONDS_OF_GRACE = Fraction(1, 2)
_X264_QUALITY = {"crf": "18"}  # visually lossless


def require_av() -> ModuleType:
    """PyAV.

    Raises:
        ValueError: It is not installed; says how to install it.
    """
    try:
        import av
    except ImportError as error:
        raise ValueError("Videos need the package PyAV (av): pip install 'segvit-hf[video]'.") from error
    # Some versions of torchvision switch PyAV's log on. Where it is on, a decoder's thread that logs waits for the
    # interpreter's lock, and freeing the decoder at that moment waits for the thread: both for ever.
    av.logging.set_level(None)
    return av


class VideoReader:
    """The frames of a video's first picture stream, one at a time. Use as a context manager.

    Args:
        path: A file in any format that FFmpeg reads.

    Attributes:
        num_frames: Estimate of the number of frames, `None` where the file does not tell.
        rate: Frames per second.
        time_base: Unit of the time stamps in seconds.
        num_damaged: Number of frames so far whose pictures the decoder could not restore.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file cannot be read or has no pictures, or PyAV is missing.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        check_regular_file(self.path)
        av = require_av()
        self._errors: tuple[type[Exception], ...] = (av.FFmpegError, OSError)
        try:
            self._container = av.open(str(self.path))
        except self._errors as error:
            raise ValueError(f"{self.path}: the video cannot be read: {error}") from error
        if not self._container.streams.video:
            self._container.close()
            raise ValueError(f"{self.path}: the file holds no video stream.")
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"
        self.rate = Fraction(self._stream.average_rate or self._stream.guessed_rate or 25)
        self.time_base = Fraction(self._stream.time_base or 1 / self.rate)
        self.num_frames = self._stream.frames or self._estimated_frames()
        self.num_damaged = 0
        self._end = Fraction(0)

    def _estimated_frames(self) -> int | None:
        duration = self._container.duration  # in microseconds
        return round(duration / 1e6 * float(self.rate)) if duration else None

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(self, *exception: object) -> None:
        self._container.close()

    def __iter__(self) -> Iterator[tuple[np.ndarray, int]]:
        """Frames in the order in which they are shown, and their time stamps.

        A frame is uint8 RGB (height, width, 3), turned upright; time stamps are in units of `time_base` and rise
        strictly.

        Raises:
            ValueError: The file is damaged.
        """
        ticks_per_frame = max(round(1 / (self.rate * self.time_base)), 1)
        last: int | None = None
        try:
            for frame in self._container.decode(self._stream):
                following = 0 if last is None else last + ticks_per_frame
                time = following if frame.pts is None else frame.pts
                last = time if last is None else max(time, last + 1)
                self.num_damaged += bool(frame.is_corrupt)
                self._end = last * self.time_base + 1 / self.rate
                pixels = frame.to_ndarray(format="rgb24")
                yield np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90) % 4)), last
        except self._errors as error:
            raise ValueError(f"{self.path}: the video is damaged: {error}") from error

    def damage(self) -> str | None:
        """What is wrong with a video of which all frames were read without an error, for the user.

        Decoders go on behind damaged data, with gray or torn pictures, and take its end for the end of the file.
        """
        problems = []
        if self.num_damaged:
            problems.append(f"{self.num_damaged} frame{'s are' if self.num_damaged > 1 else ' is'} damaged")
        duration = self._duration()
        if duration is not None and self._end < duration - max(_SECONDS_OF_GRACE, 2 / self.rate):
            problems.append(f"it ends after {float(self._end):.1f} of {float(duration):.1f} seconds")
        return " and ".join(problems) or None

    def _duration(self) -> Fraction | None:
        """Seconds that the pictures should last; not known where only the whole file tells, and it has sound."""
        start = Fraction(self._stream.start_time or 0)
        if self._stream.duration:
            return (start + self._stream.duration) * self.time_base
        if self._container.duration and len(self._container.streams) == 1:
            return Fraction(self._container.duration, 1_000_000) + start * self.time_base
        return None


class VideoWriter:
    """Writes frames to a video file, which appears under its name when it is complete. Use as a context manager.

    Args:
        path: `.mp4`, `.mov`, `.mkv` or `.webm`. Missing folders are made.
        rate: Frames per second, for players that ask; the frames' own time stamps decide.
        time_base: Unit of the time stamps in seconds.

    Raises:
        ValueError: Another ending, PyAV or its encoder is missing.
    """

    def __init__(self, path: str | Path, *, rate: Fraction, time_base: Fraction) -> None:
        self.path = Path(path)
        self._av = require_av()
        codecs = WRITABLE_CODECS.get(self.path.suffix.lower())
        if codecs is None:
            raise ValueError(f"{self.path}: expected a video file to write ({', '.join(WRITABLE_CODECS)}).")
        self._codec = next((codec for codec in codecs if codec in self._av.codecs_available), None)
        if self._codec is None:
            raise ValueError(f"{self.path}: this PyAV has no encoder for it (none of {', '.join(codecs)}).")
        self._rate, self._time_base = rate, time_base
        self._first_time: int | None = None
        self._container: Any = None
        self._stream: Any = None

    def __enter__(self) -> "VideoWriter":
        with ExitStack() as stack:
            unfinished = stack.enter_context(atomic_path(self.path))
            self._container = stack.enter_context(self._av.open(str(unfinished), mode="w"))
            stack.push(self._flush)
            self._open_files = stack.pop_all()
        return self

    def write(self, pixels: np.ndarray, time: int) -> None:
        """Adds a frame. A last odd row or column is repeated, as the codec wants even sides.

        Args:
            pixels: uint8 RGB (height, width, 3), of the size of the first frame.
            time: Its time stamp in units of `time_base`.

        Raises:
            ValueError: The frame has another size than the first one.
        """
        height, width = pixels.shape[:2]
        pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        if self._first_time is None:
            self._start(pixels, time)
        if (self._stream.height, self._stream.width) != pixels.shape[:2]:
            raise ValueError(
                f"{self.path}: a frame has height and width {pixels.shape[:2]}, the first one had "
                f"{(self._stream.height, self._stream.width)}."
            )
        frame = self._av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts, frame.time_base = time - (self._first_time or 0), self._time_base
        self._container.mux(self._stream.encode(frame))

    def _start(self, pixels: np.ndarray, time: int) -> None:
        self._first_time = time
        self._stream = self._container.add_stream(self._codec, rate=self._rate)
        self._stream.height, self._stream.width = pixels.shape[:2]
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = self._time_base
        if self._codec == "libx264":
            self._stream.options = dict(_X264_QUALITY)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open_files.__exit__(kind, error, trace)

    def _flush(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if kind is not None:
            return
        if self._stream is None:
            raise ValueError(f"{self.path}: a video needs at least one frame.")
        self._container.mux(self._stream.encode())


__all__ = ["VIDEO_SUFFIXES", "WRITABLE_CODECS", "VideoReader", "VideoWriter", "require_av"]
