"""Writes a converted checkpoint as a folder that `from_pretrained` loads: all of it, or nothing."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from segvit_hf.conversion.convert import ConvertedCheckpoint, no_progress_bar
from segvit_hf.conversion.errors import ConversionError
from segvit_hf.registration import add_remote_code

_READ_SIZE = 1 << 20


def check_output_folder(folder: Path, *, overwrite: bool) -> None:
    """Raises:
    ConversionError: If `folder` cannot be written: it is a file, or holds something and `overwrite` is false, or
        holds something that is no saved model (which `overwrite` would destroy).
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
    """Writes model.safetensors, config.json, preprocessor_config.json, README.md, conversion_report.json and the file
    for `trust_remote_code`.

    Everything is written to a folder beside the target, which takes the target's name when it is complete. An
    interrupted export leaves the target as it was.

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
    with _complete_folder(folder) as temporary:
        with no_progress_bar():
            converted.model.save_pretrained(temporary)
        converted.image_processor.save_pretrained(temporary)
        (temporary / "README.md").write_text(write_card(folder.resolve().name), encoding="utf-8")
        report = {**provenance, "keys": converted.report}
        (temporary / "conversion_report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        add_remote_code(temporary)
    return folder


def describe_file(path: Path) -> dict[str, Any]:
    """Name, size and sha256 of a file; reads it in small pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_READ_SIZE):
            digest.update(piece)
    return {"file": path.name, "size_in_bytes": path.stat().st_size, "sha256": digest.hexdigest()}


@contextmanager
def _complete_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder that becomes `folder` if the block succeeds, and is removed if it does not."""
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent))
    replaced = temporary.with_suffix(".old")
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        # mkdtemp and safetensors make what only its owner can read.
        temporary.chmod(0o777 & ~umask)
        for file in temporary.iterdir():
            file.chmod(0o666 & ~umask)
        if folder.exists():
            folder.rename(replaced)
        try:
            temporary.rename(folder)
        except OSError:
            if replaced.exists():
                replaced.rename(folder)
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)


__all__ = ["check_output_folder", "describe_file", "export_checkpoint"]
