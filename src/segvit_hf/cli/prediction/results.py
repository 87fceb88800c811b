"""Where `segvit-hf predict` writes, and what must not lie there.

All paths are known, and compared with what exists, before the first one is written.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from segvit_hf.cli.prediction.inputs import PHOTO_SUFFIXES, PredictionInput
from segvit_hf.video import VIDEO_SUFFIXES, WRITABLE_CODECS

_LABEL_MAP_SUFFIXES = (".bmp", ".png", ".tif", ".tiff")


@dataclass(frozen=True)
class Result:
    """One file, or the folder of a video's label maps.

    Attributes:
        path: Where it goes.
        source: The input that it is made of.
        is_folder: Whether it is a folder.
    """

    path: Path
    source: Path
    is_folder: bool = False


@dataclass(frozen=True)
class ResultPaths:
    """The paths of all results.

    Attributes:
        output: OUTPUT of the command line.
        kinds: What is written, of `"overlay"` and `"labels"`.
        file: The one file that OUTPUT names, `None` where OUTPUT is a folder.
    """

    output: Path
    kinds: tuple[str, ...]
    file: Path | None = None

    def path(self, kind: str, name: Path, suffix: str) -> Path:
        """The file of a kind for an input's name (without ending)."""
        if self.file is not None:
            return self.file
        subfolders = {"overlay": "overlays", "labels": "labels"} if len(self.kinds) > 1 else {}
        return self.output / subfolders.get(kind, "") / name.with_name(name.name + suffix)

    def results(self, item: PredictionInput) -> list[Result]:
        """What is written for one input."""
        if not item.is_video:
            return [Result(self.path(kind, item.name, ".png"), item.path) for kind in self.kinds]
        return [
            Result(self.path(kind, item.name, ""), item.path, is_folder=True)
            if kind == "labels"
            else Result(self.path(kind, item.name, ".mp4"), item.path)
            for kind in self.kinds
        ]


def result_paths(source: Path, output: Path, save: str | None, inputs: Sequence[PredictionInput]) -> ResultPaths:
    """The paths that INPUT, OUTPUT and `--save` ask for.

    Raises:
        ValueError: OUTPUT does not go with them.
    """
    kinds = ("overlay", "labels") if save == "both" else (save,) if save else ()
    if output.is_dir() or (output.suffix.lower() == ".zip" and not kinds):
        return ResultPaths(output, kinds)
    if kinds and not source.is_dir():
        _check_suffix(output, inputs[0], save)
        return ResultPaths(output, kinds, output if output.suffix else None)
    _check_folder_name(output)
    return ResultPaths(output, kinds)


def _check_folder_name(output: Path) -> None:
    if output.exists():
        raise ValueError(f"{output}: expected a folder to write to, found a file.")
    if output.suffix.lower() in {*PHOTO_SUFFIXES, *VIDEO_SUFFIXES, ".zip"}:
        raise ValueError(
            f"{output}: expected a folder for several results, found the name of a file (make the folder first if it "
            "is to be called so)."
        )


def _check_suffix(output: Path, item: PredictionInput, save: str | None) -> None:
    """Refuses what cannot be the file for a single input; without an ending it is a folder."""
    suffix = output.suffix.lower()
    if not suffix:
        if output.exists():
            raise ValueError(f"{output}: expected a folder to write to, or a file with an ending, found a file.")
        return
    what, known = ("video", set(WRITABLE_CODECS)) if item.is_video else ("photo", _picture_suffixes())
    if suffix not in known:
        raise ValueError(
            f"{output}: expected a folder, or a file ending in {', '.join(sorted(known))} for the {what} {item.path}, "
            f"found {suffix} (make the folder first if it is to be called so)."
        )
    if save == "both":
        raise ValueError(f"{output}: --save both writes several files: give a folder.")
    if save == "labels" and item.is_video:
        raise ValueError(f"{output}: the label maps of a video are one PNG per frame: give a folder.")
    if save == "labels" and suffix not in _LABEL_MAP_SUFFIXES:
        raise ValueError(f"{output}: label maps need a format without loss, such as .png.")


def _picture_suffixes() -> set[str]:
    formats = Image.registered_extensions()
    return {suffix for suffix in PHOTO_SUFFIXES if formats.get(suffix) in Image.SAVE}


def check_results(results: Sequence[Result], inputs: Iterable[PredictionInput], *, overwrite: bool) -> None:
    """Refuses to lose anything.

    Args:
        results: All that will be written.
        inputs: All that will be read.
        overwrite: Whether files that exist may be replaced. Inputs never are.

    Raises:
        ValueError: A result would replace an input, another result, or without `overwrite` a file that exists.
    """
    _refuse_inputs(results, [item.path for item in inputs])
    _refuse_collisions(results)
    for result in results:
        if result.path.exists() and result.path.is_dir() != result.is_folder:
            found = "folder" if result.path.is_dir() else "file"
            raise ValueError(f"{result.path}: a {found} is in the place of the result for {result.source}.")
    taken = [result for result in results if result.path.exists()]
    if taken and not overwrite:
        others = f", and {len(taken) - 1} more" if len(taken) > 1 else ""
        raise ValueError(
            f"{taken[0].path}: exists already{others}. Choose another OUTPUT, or replace with --overwrite what is "
            "there."
        )


def _refuse_inputs(results: Sequence[Result], inputs: Sequence[Path]) -> None:
    # By file and not only by name: links, and file systems that do not tell `a.PNG` from `a.png`.
    files = {_identity(path): path for path in inputs}
    resolved = [path.resolve() for path in inputs]
    for result in results:
        if _identity(result.path) in files:
            raise ValueError(f"{result.path}: the result would replace the input {files[_identity(result.path)]}.")
        if result.is_folder:
            folder = result.path.resolve()
            for path in resolved:
                if path.is_relative_to(folder):
                    raise ValueError(f"{result.path}: the folder of the result holds the input {path}.")


def _identity(path: Path) -> object:
    try:
        status = path.stat()
    except OSError:
        return path.resolve()
    return status.st_dev, status.st_ino


def _refuse_collisions(results: Sequence[Result]) -> None:
    sources: dict[Path, Path] = {}
    for result in results:
        if result.path in sources:
            raise ValueError(
                f"{result.path}: would be the result of {sources[result.path]}, and also of {result.source}: rename "
                "one of them."
            )
        sources[result.path] = result.source
    folders = {result.path: result.source for result in results if result.is_folder}
    for result in results:
        for parent in result.path.parents:
            if parent in folders:
                raise ValueError(
                    f"{result.path}: would lie among the frames of {folders[parent]}: rename one of them."
                )


__all__ = ["Result", "ResultPaths", "check_results", "result_paths"]
