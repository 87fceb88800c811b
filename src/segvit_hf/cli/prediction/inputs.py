"""What `segvit-hf predict` works on: the photos and videos behind its INPUT."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from segvit_hf.image_processing.reading import load_file, read_image
from segvit_hf.regular_files import check_regular_file
from segvit_hf.video import VIDEO_SUFFIXES

PHOTO_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True)
class PredictionInput:
    """One file to segment.

    Attributes:
        path: The file.
        name: What its results are called, below the output folder and without an ending.
        is_video: Whether it is a video.
    """

    path: Path
    name: Path
    is_video: bool


def find_inputs(source: Path, output: Path) -> list[PredictionInput]:
    """The photos and videos that `source` names: itself, or those below a folder, sorted.

    Hidden files, and what is below `output`, are left out.

    Results are called like their files, without the ending; files that differ only by it keep it.

    Raises:
        ValueError: There is nothing to segment, a pipe or a device, or results would lie among the inputs.
    """
    if not source.exists():
        raise ValueError(f"{source}: no such file or folder.")
    if not source.is_dir():
        check_regular_file(source)
        return [PredictionInput(source, Path(source.stem), source.suffix.lower() in VIDEO_SUFFIXES)]
    if output.resolve() == source.resolve():
        raise ValueError(f"{output}: expected another folder than the one with the photos.")
    known = PHOTO_SUFFIXES | VIDEO_SUFFIXES
    paths = [path for path in _files_below(source, output.resolve()) if path.suffix.lower() in known]
    if not paths:
        raise ValueError(f"{source}: found no photo ({' '.join(sorted(PHOTO_SUFFIXES))}) and no video in the folder.")
    names = [path.relative_to(source) for path in paths]
    stems = Counter(name.with_suffix("") for name in names)
    return [
        PredictionInput(
            path,
            name.with_suffix("") if stems[name.with_suffix("")] == 1 else name,
            path.suffix.lower() in VIDEO_SUFFIXES,
        )
        for path, name in zip(paths, names, strict=True)
    ]


def _files_below(folder: Path, without: Path) -> list[Path]:
    files = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and (Path(parent) / name).resolve() != without
        )
        files += [Path(parent) / name for name in sorted(names) if not name.startswith(".")]
    return files


def read_photo(path: Path) -> tuple[np.ndarray, list[str]]:
    """A photo as the image processors read it, upright, and remarks for the user.

    Returns:
        uint8 RGB (height, width, 3).

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no plain file, or cannot be read.
    """
    check_regular_file(path)
    try:
        with Image.open(path) as file:
            num_frames = getattr(file, "n_frames", 1)
        pixels = read_image(load_file(path))
    except Exception as error:  # decoders raise all sorts of errors
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ValueError(f"{path}: the photo cannot be read: {reason}") from error
    remarks = [f"an animation of {num_frames} pictures: the first one was segmented"] if num_frames > 1 else []
    return pixels.permute(1, 2, 0).contiguous().numpy(), remarks


__all__ = ["PHOTO_SUFFIXES", "PredictionInput", "find_inputs", "read_photo"]
