"""`segvit-hf predict` on videos: frame by frame, with the original's time stamps, in constant memory."""

import re
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from segvit_hf.cli.predict import add_arguments
from segvit_hf.video import VideoReader, VideoWriter

RunCommand = Callable[..., int]

RATE = 10
NUM_FRAMES = 12
# In units of 1 / 1000 s; one pause is longer, as in a recording of varying frame rate.
TIMES = [100 * index + (250 if index > 5 else 0) for index in range(NUM_FRAMES)]


def frame(index: int, height: int = 33, width: int = 47) -> np.ndarray:
    """A bright column that moves to the right."""
    pixels = np.full((height, width, 3), 40, dtype=np.uint8)
    pixels[:, 3 * index : 3 * index + 6] = 220
    return pixels


def write_video(path: Path, num_frames: int = NUM_FRAMES) -> Path:
    with VideoWriter(path, rate=Fraction(RATE), time_base=Fraction(1, 1000)) as writer:
        for index in range(num_frames):
            writer.write(frame(index), TIMES[index])
    return path


def test_frames_and_time_stamps_come_back(tmp_path: Path) -> None:
    path = write_video(tmp_path / "film.mp4")
    with VideoReader(path) as video:
        frames, times = zip(*video, strict=True)
        seconds = [float(time * video.time_base) for time in times]
    assert len(frames) == NUM_FRAMES
    assert seconds == pytest.approx([time / 1000 for time in TIMES], abs=1e-3)
    for index, pixels in enumerate(frames):
        assert pixels.shape == (34, 48, 3)  # the codec wants even sides
        np.testing.assert_allclose(pixels[:33, :47].astype(int), frame(index).astype(int), atol=12)


def test_a_turned_recording_is_read_upright(tmp_path: Path) -> None:
    path = write_video(tmp_path / "film.mp4")
    # Phones record sideways and write a rotation matrix into the track's header.
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40
    content[matrix : matrix + 36] = struct.pack(">9i", 0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000)
    path.write_bytes(bytes(content))
    with VideoReader(path) as video:
        pixels, _ = next(iter(video))
    assert pixels.shape == (48, 34, 3)
    # Turned clockwise, the bright column at the left becomes a bright row at the top.
    assert pixels[:6].mean() > 200
    assert pixels[8:].mean() < 60


def test_a_video_in_an_overlaid_video_out(model_folder: Path, tmp_path: Path, run_command: RunCommand) -> None:
    source = write_video(tmp_path / "film.mp4")
    assert run_command(add_arguments, model_folder, source, tmp_path / "out.mp4") == 0
    with VideoReader(source) as original, VideoReader(tmp_path / "out.mp4") as overlaid:
        pairs = list(zip(original, overlaid, strict=True))
        units = original.time_base, overlaid.time_base
    assert len(pairs) == NUM_FRAMES
    for (before, time_before), (after, time_after) in pairs:
        assert before.shape == after.shape
        assert time_before * units[0] == time_after * units[1]
        assert np.abs(before.astype(int) - after.astype(int)).mean() > 10


def test_large_frames_are_segmented_at_a_smaller_size_and_it_is_said(
    model_folder: Path, tmp_path: Path, run_command: RunCommand, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_video(tmp_path / "film.mp4", num_frames=2)
    assert run_command(add_arguments, model_folder, source, tmp_path / "out.mp4", "--max-side", 24) == 0
    assert "film.mp4: segmented at 24x17 instead of 48x34 (see --max-side)" in capsys.readouterr().err
    with VideoReader(tmp_path / "out.mp4") as video:
        assert next(iter(video))[0].shape == (34, 48, 3)


def test_the_label_maps_of_a_video_are_one_file_a_frame(
    model_folder: Path, tmp_path: Path, run_command: RunCommand
) -> None:
    source = write_video(tmp_path / "film.mkv", num_frames=3)
    assert run_command(add_arguments, model_folder, source, tmp_path / "out", "--save", "both") == 0
    assert (tmp_path / "out" / "overlays" / "film.mp4").is_file()
    labels = sorted((tmp_path / "out" / "labels" / "film").iterdir())
    assert [path.name for path in labels] == ["000000.png", "000001.png", "000002.png"]
    with Image.open(labels[0]) as ids:
        assert ids.size == (48, 34)


def test_frames_are_not_collected(
    model_folder: Path, tmp_path: Path, run_command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frame is written before the next one is decoded."""
    source = write_video(tmp_path / "film.mp4")
    decoded = written = 0
    ahead = []
    decode, write = VideoReader.__iter__, VideoWriter.write

    def counted_frames(reader: VideoReader) -> Iterator[tuple[np.ndarray, int]]:
        nonlocal decoded
        for item in decode(reader):
            decoded += 1
            yield item

    def counted_write(writer: VideoWriter, *arguments: object) -> None:
        nonlocal written
        written += 1
        ahead.append(decoded - written)
        write(writer, *arguments)

    monkeypatch.setattr(VideoReader, "__iter__", counted_frames)
    monkeypatch.setattr(VideoWriter, "write", counted_write)
    assert run_command(add_arguments, model_folder, source, tmp_path / "out.mp4") == 0
    assert written == decoded == NUM_FRAMES
    assert max(ahead) == 0


def test_a_damaged_video_is_reported_and_leaves_no_file(
    model_folder: Path, tmp_path: Path, run_command: RunCommand, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    (folder / "no-film.mp4").write_bytes(b"not a film at all" * 100)
    write_video(folder / "film.mp4", num_frames=2)
    assert run_command(add_arguments, model_folder, folder, tmp_path / "out") == 1
    captured = capsys.readouterr()
    assert "1 video segmented" in captured.out
    assert "no-film.mp4: the video cannot be read" in captured.err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["film.mp4"]


def noisy_video(path: Path) -> Path:
    """Frames that take some bytes each, so that damage hits few of them."""
    rng = np.random.default_rng(0)
    with VideoWriter(path, rate=Fraction(RATE), time_base=Fraction(1, 1000)) as writer:
        for index in range(40):
            pixels = frame(index, 64, 96)
            pixels[::7] = rng.integers(0, 256, pixels[::7].shape)
            writer.write(pixels, 100 * index)
    return path


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4])


def overwrite(path: Path) -> None:
    """Overwrites bytes at the first place of which FFmpeg notices it, and goes on."""
    content = path.read_bytes()
    for place in range(len(content) // 3, len(content) - 200, 500):
        path.write_bytes(content[:place] + b"\x5a" * 200 + content[place + 200 :])
        with av.open(str(path)) as container, suppress(av.FFmpegError):
            corrupt = [frame.is_corrupt for frame in container.decode(video=0)]
            if any(corrupt) and len(corrupt) == 40:
                return
    raise AssertionError("FFmpeg notices nothing.")


@pytest.mark.parametrize(
    ("damage", "remark"),
    [(cut, r"it ends after [23]\.\d of 4\.0 seconds"), (overwrite, r"\d+ frames? (is|are) damaged")],
)
def test_a_video_that_is_damaged_in_the_middle_says_so(
    damage: Callable[[Path], None],
    remark: str,
    model_folder: Path,
    tmp_path: Path,
    run_command: RunCommand,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = noisy_video(tmp_path / "film.mkv")
    damage(source)
    assert run_command(add_arguments, model_folder, source, tmp_path / "out.mp4", "--quiet") == 1
    message = capsys.readouterr().err
    assert re.search(rf"film\.mkv: the video is damaged: {remark}; what could be read was segmented", message)
    with VideoReader(tmp_path / "out.mp4") as video:
        assert len(list(video)) > 20


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov", ".webm"])
def test_a_whole_video_is_not_called_damaged(suffix: str, tmp_path: Path) -> None:
    for path in (noisy_video(tmp_path / f"film{suffix}"), write_video(tmp_path / f"uneven{suffix}")):
        with VideoReader(path) as video:
            assert len(list(video)) in (40, NUM_FRAMES)
            assert video.damage() is None


def test_an_error_half_way_leaves_no_file(tmp_path: Path) -> None:
    def write_and_fail() -> None:
        with VideoWriter(tmp_path / "out.mp4", rate=Fraction(RATE), time_base=Fraction(1, 1000)) as writer:
            writer.write(frame(0), 0)
            writer.write(frame(1, height=64), 100)

    with pytest.raises(ValueError, match="a frame has height and width"):
        write_and_fail()
    assert not list(tmp_path.iterdir())


def test_a_video_without_frames_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match=r"out\.mp4: a video needs at least one frame"),
        VideoWriter(tmp_path / "out.mp4", rate=Fraction(RATE), time_base=Fraction(1, 1000)),
    ):
        pass
    assert not list(tmp_path.iterdir())


def test_a_video_replaces_an_older_one_and_can_be_read_by_everybody(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"older")
    with VideoWriter(tmp_path / "film.mp4", rate=Fraction(RATE), time_base=Fraction(1, 1000)) as writer:
        writer.write(frame(0), 0)
        assert (tmp_path / "film.mp4").read_bytes() == b"older"
    reference = tmp_path / "reference"
    reference.touch()
    assert (tmp_path / "film.mp4").stat().st_mode == reference.stat().st_mode
    with VideoReader(tmp_path / "film.mp4") as video:
        assert len(list(video)) == 1


def test_the_label_maps_of_a_video_need_a_folder(model_folder: Path, tmp_path: Path, run_command: RunCommand) -> None:
    source = write_video(tmp_path / "film.mp4", num_frames=2)
    with pytest.raises(ValueError, match="one PNG per frame: give a folder"):
        run_command(add_arguments, model_folder, source, tmp_path / "out.mp4", "--save", "labels")


def test_without_pyav_the_message_says_what_to_install(
    model_folder: Path, tmp_path: Path, run_command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_video(tmp_path / "film.mp4", num_frames=2)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ValueError, match=r"pip install 'segvit-hf\[video\]'"):
        run_command(add_arguments, model_folder, source, tmp_path / "out.mp4")
