"""Says what a file is from its first bytes, so that a bad download is named instead of failing inside a parser."""

import zipfile
from enum import Enum
from pathlib import Path

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.reading.archives import checkpoint_members

# torch.save of torch < 1.6 starts with the pickled number 0x1950a86a20f9469cfc6c (torch.serialization.MAGIC_NUMBER).
_LEGACY_TORCH_START = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"


class CheckpointFormat(Enum):
    """The two formats that `torch.save` has written since torch 0.2, and a zip package around such a file."""

    ZIP = "zip"
    LEGACY_PICKLE = "legacy pickle"
    PACKAGE = "package"


def recognize_checkpoint(path: Path) -> CheckpointFormat:
    """Tells which format a file has, reading only its beginning and its table of contents.

    Raises:
        ConversionError: For anything else, saying what was expected and what was found.
    """
    if not path.exists():
        raise ConversionError(f"{path}: no such file.")
    if not path.is_file():
        raise ConversionError(f"{path}: expected a checkpoint file (.pth), found a folder.")
    size = path.stat().st_size
    if size == 0:
        raise ConversionError(f"{path}: expected a checkpoint written by torch.save, found an empty file (0 bytes).")
    with path.open("rb") as file:
        start = file.read(512)
    if start.startswith(b"PK"):
        return _recognize_zip(path, size)
    if _LEGACY_TORCH_START in start[:16]:
        return CheckpointFormat.LEGACY_PICKLE
    raise ConversionError(
        f"{path}: expected a checkpoint written by torch.save, found {_describe(start)} ({size} bytes)."
    )


def recognize_packed(start: bytes) -> CheckpointFormat | None:
    """The format of a checkpoint that starts with these bytes, or `None` if torch.save did not write it."""
    if start.startswith(b"PK"):
        return CheckpointFormat.ZIP
    return CheckpointFormat.LEGACY_PICKLE if _LEGACY_TORCH_START in start[:16] else None


def _recognize_zip(path: Path, size: int) -> CheckpointFormat:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            packed = checkpoint_members(archive)
    except zipfile.BadZipFile as error:
        raise ConversionError(
            f"{path}: the file starts like a torch checkpoint but its end is missing or damaged ({size} bytes were "
            "found): the download is probably incomplete. Download it again."
        ) from error
    leaves = {name.split("/", 1)[-1] for name in names}
    if "constants.pkl" in leaves:
        raise ConversionError(f"{path}: expected a checkpoint of weights, found a TorchScript program.")
    if "data.pkl" not in leaves and packed:
        return CheckpointFormat.PACKAGE
    if "data.pkl" not in leaves:
        shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        raise ConversionError(
            f"{path}: expected a checkpoint written by torch.save, found a zip archive of something else "
            f"({shown or 'no entries'})."
        )
    return CheckpointFormat.ZIP


def _describe(start: bytes) -> str:
    text = start.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page: the link led to a page, not to the file"
    if text.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer: fetch the real file with `git lfs pull`"
    if len(start) > 9 and start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 1 << 30:
        return "a safetensors file: is it converted already?"
    if start[257:262] == b"ustar":
        return "a tar archive (torch < 0.2 wrote such files; they cannot be loaded safely)"
    if start.startswith(b"\x1f\x8b"):
        return "a gzip archive: unpack it first"
    if start.startswith(b"\x80"):
        return "a Python pickle that torch.save did not write"
    return f"a file that starts with {start[:16]!r}"


__all__ = ["CheckpointFormat", "recognize_checkpoint", "recognize_packed"]
