"""Writes a converted checkpoint as a folder that `from_pretrained` loads: all of it, or nothing."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from segvit_hf.conversion.convert import ConvertedCheckpoint, no_progress_bar
from segvit_hf.conversion.errors import ConversionError
from segvit_hf.files import atomic_path, recover
from segvit_hf.remote_code import REMOTE_MODULE, add_remote_code

_READ_SIZE = 1 << 20
# Weights are written in files of at most this size, one after the other.
_LARGEST_FILE = "5GB"
_CARD, _REPORT = "README.md", "conversion_report.json"
_WRITTEN = {
    _CARD,
    _REPORT,
    f"{REMOTE_MODULE}.py",
    "config.json",
    "preprocessor_config.json",
    "model.safetensors.index.json",
}
_WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors")


def is_part_of_a_conversion(name: str) -> bool:
    """Whether `export_checkpoint` writes, or in another size of model would write, a file of this name."""
    return name in _WRITTEN or _WEIGHTS.fullmatch(name) is not None


def check_output_folder(folder: Path, *, overwrite: bool, inputs: Sequence[Path] = ()) -> None:
    """Checks that a saved model may be written to a folder, before any work.

    A folder that an interrupted conversion had put aside is put back first.

    Args:
        folder: The target, which need not exist.
        overwrite: Whether the files of a saved model that is there may be replaced.
        inputs: Files that the conversion reads.

    Raises:
        ConversionError: It is no folder or cannot be written or replaced, or holds something and `overwrite` is false,
            or holds no saved model, or one of the files that would be replaced is an input.
    """
    try:
        target = _resolved(folder)
        recover(target)
        if not os.path.lexists(target):
            _check_parent(folder, target.parent)
        else:
            _check_existing(folder, overwrite=overwrite)
    except OSError as error:
        raise ConversionError(f"{folder}: expected a folder to write to ({error.strerror or error}).") from error
    replaced = [path for path in inputs if is_part_of_a_conversion(path.name) and _lies_in(path, target)]
    if replaced:
        raise ConversionError(
            f"{folder}: the conversion would replace {replaced[0].name}, which it reads. Choose another folder."
        )


def _lies_in(path: Path, folder: Path) -> bool:
    return folder in (path.parent.resolve(), path.resolve().parent)


def _resolved(folder: Path) -> Path:
    if folder.is_symlink() and not folder.exists():
        raise ConversionError(f"{folder}: expected a folder to write to, found a link that leads nowhere.")
    return folder.resolve()


def _check_parent(folder: Path, parent: Path) -> None:
    while not os.path.lexists(parent):
        parent = parent.parent
    if not parent.is_dir():
        raise ConversionError(f"{folder}: expected a folder to write to, but {parent} is a file.")
    _check_writable(folder, parent)


def _check_existing(folder: Path, *, overwrite: bool) -> None:
    if not folder.is_dir():
        raise ConversionError(f"{folder}: expected a folder to write to, found a file.")
    if os.path.ismount(folder):
        raise ConversionError(f"{folder}: a mount point cannot be replaced as a whole. Choose a folder below it.")
    _check_writable(folder, folder.resolve().parent)
    if not any(folder.iterdir()):
        return
    if not overwrite:
        raise ConversionError(f"{folder}: the folder is not empty. Choose another one, or pass --overwrite.")
    if not (folder / "config.json").is_file():
        raise ConversionError(
            f"{folder}: --overwrite replaces the files of a saved model (with a config.json); this folder holds "
            "something else."
        )


def _check_writable(folder: Path, parent: Path) -> None:
    if not os.access(parent, os.W_OK | os.X_OK):
        raise ConversionError(f"{folder}: expected a folder to write to, but {parent} cannot be written to.")


def export_checkpoint(
    converted: ConvertedCheckpoint,
    folder: str | Path,
    *,
    provenance: Mapping[str, Any],
    write_card: Callable[[str], str],
    overwrite: bool = False,
    inputs: Sequence[Path] = (),
) -> Path:
    """Writes a folder that `from_pretrained` loads.

    It holds model.safetensors, config.json, preprocessor_config.json, README.md, conversion_report.json and the file
    for `trust_remote_code`. All of it appears at once: an interrupted export leaves the target as it was.

    Args:
        converted: The model, its image processor and the report.
        folder: The target; its parent folders are made.
        provenance: Where the weights come from, for conversion_report.json (see `describe_file`).
        write_card: Gets the folder's name, returns the model card.
        overwrite: Whether the files of a saved model that is there already are replaced. All others stay.
        inputs: Files that must not be replaced.

    Returns:
        The folder.

    Raises:
        ConversionError: If the folder may not be written to (see `check_output_folder`), or the disk is full.
    """
    folder = Path(folder)
    check_output_folder(folder, overwrite=overwrite, inputs=inputs)
    with atomic_path(folder.resolve(), replaces=is_part_of_a_conversion) as unfinished:
        _save(converted, unfinished)
        (unfinished / _CARD).write_text(write_card(folder.resolve().name), encoding="utf-8")
        report = {**provenance, "keys": converted.report}
        (unfinished / _REPORT).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        add_remote_code(unfinished)
    return folder


def _save(converted: ConvertedCheckpoint, folder: Path) -> None:
    for tensor in (*converted.model.parameters(), *converted.model.buffers()):
        # One number that is seen as a whole tensor cannot be written as such.
        if not tensor.is_contiguous():
            tensor.data = tensor.data.contiguous()
    try:
        with no_progress_bar():
            converted.model.save_pretrained(folder, max_shard_size=_LARGEST_FILE)
    except SafetensorError as error:  # its own error also for a full disk
        raise ConversionError(
            f"{folder.name}: the weights could not be written ({error}). Is the disk full?"
        ) from error
    converted.image_processor.save_pretrained(folder)


def describe_file(path: Path) -> dict[str, Any]:
    """Name, size and sha256 of a file; reads it in small pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_READ_SIZE):
            digest.update(piece)
    return {"file": path.name, "size_in_bytes": path.stat().st_size, "sha256": digest.hexdigest()}


__all__ = ["check_output_folder", "describe_file", "export_checkpoint", "is_part_of_a_conversion"]
