"""Writes a converted checkpoint as a folder that `from_pretrained` loads: all of it, or nothing."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from segvit_hf.conversion.convert import ConvertedCheckpoint, no_progress_bar
from segvit_hf.conversion.errors import ConversionError
from segvit_hf.files import atomic_path
from segvit_hf.remote_code import add_remote_code

_READ_SIZE = 1 << 20


def check_output_folder(folder: Path, *, overwrite: bool) -> None:
    """Checks that a saved model may be written to a folder.

    Raises:
        ConversionError: It is a file, or holds something and `overwrite` is false, or holds something that is no
            saved model (which `overwrite` would destroy).
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ConversionError(f"{folder}: expected a folder to write to, found a file.")
    if not any(folder.iterdir()):
        return
    if not overwrite:
        raise ConversionError(f"{folder}: the folder is not empty. Choose another one, or pass --overwrite.")
    if not (folder / "config.json").is_file():
        raise ConversionError(
            f"{folder}: --overwrite replaces the whole folder, and only does so for a saved model (with a "
            "config.json); this folder holds something else."
        )


def export_checkpoint(
    converted: ConvertedCheckpoint,
    folder: str | Path,
    *,
    provenance: Mapping[str, Any],
    write_card: Callable[[str], str],
    overwrite: bool = False,
) -> Path:
    """Writes a folder that `from_pretrained` loads.

    It holds model.safetensors, config.json, preprocessor_config.json, README.md, conversion_report.json and the file
    for `trust_remote_code`. All of it appears at once: an interrupted export leaves the target as it was.

    Args:
        converted: The model, its image processor and the report.
        folder: The target; its parent folders are made.
        provenance: Where the weights come from, for conversion_report.json (see `describe_file`).
        write_card: Gets the folder's name, returns the model card.
        overwrite: Whether a saved model that is there already is replaced.

    Returns:
        The folder.

    Raises:
        ConversionError: If the folder is not empty (see `check_output_folder`).
    """
    folder = Path(folder)
    check_output_folder(folder, overwrite=overwrite)
    with atomic_path(folder.resolve()) as unfinished:
        with no_progress_bar():
            converted.model.save_pretrained(unfinished)
        converted.image_processor.save_pretrained(unfinished)
        (unfinished / "README.md").write_text(write_card(folder.resolve().name), encoding="utf-8")
        report = {**provenance, "keys": converted.report}
        (unfinished / "conversion_report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        add_remote_code(unfinished)
    return folder


def describe_file(path: Path) -> dict[str, Any]:
    """Name, size and sha256 of a file; reads it in small pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_READ_SIZE):
            digest.update(piece)
    return {"file": path.name, "size_in_bytes": path.stat().st_size, "sha256": digest.hexdigest()}


__all__ = ["check_output_folder", "describe_file", "export_checkpoint"]
