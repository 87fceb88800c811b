"""Says what a file is from its first bytes, so that a bad download is named instead of failing inside a parser."""

from enum import Enum
from pathlib import Path

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.reading.archives import checkpoint_members, open_archive
from segvit_hf.conversion.reading.input_files import check_input_file
from segvit_hf.messages import listed

# torch.save of torch < 1.6 starts with the pickled number 0x1950a86a20f9469cfc6c (torch.serialization.MAGIC_NUMBER).
_LEGACY_TORCH_START = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
# As many bytes as `recognize_start` looks at.
START_SIZE = 512


class CheckpointFormat(Enum):
    """The two formats that `torch.save` has written since torch 0.2, and a zip package around such a file."""

    ZIP = "zip"
    LEGACY_PICKLE = "legacy pickle"
    PACKAGE = "package"


def recognize_checkpoint(path: Path, name: str) -> CheckpointFormat:
    """Tells which format a file has, reading only its beginning and its table of contents.

    Args:
        path: The file.
        name: How messages call it.

    Raises:
        ConversionError: For anything else, saying what was expected and what was found.
    """
    size = check_input_file(path, "a checkpoint file (.pth)")
    with path.open("rb") as file:
        start = file.read(START_SIZE)
    if recognize_start(start, name, size) is CheckpointFormat.LEGACY_PICKLE:
        return CheckpointFormat.LEGACY_PICKLE
    with open_archive(path, name) as archive:
        return _recognize_contents(archive.namelist(), checkpoint_members(archive), name)


def recognize_start(start: bytes, name: str, size: int) -> CheckpointFormat:
    """Tells a zip archive from the older format by the first bytes.

    Args:
        start: The first `START_SIZE` bytes.
        name: How messages call the file.
        size: Number of bytes of the file.

    Raises:
        ConversionError: It is neither, saying what it looks like.
    """
    if size == 0:
        raise ConversionError(f"{name}: expected a checkpoint written by torch.save, found an empty file (0 bytes).")
    if start.startswith(b"PK"):
        return CheckpointFormat.ZIP
    # A tar archive may begin with anything, and torch would unpack it.
    if _LEGACY_TORCH_START in start[:16] and not _is_tar(start):
        return CheckpointFormat.LEGACY_PICKLE
    raise ConversionError(
        f"{name}: expected a checkpoint written by torch.save, found {_describe(start)} ({size} bytes)."
    )


def _recognize_contents(names: list[str], packed: list[str], name: str) -> CheckpointFormat:
    leaves = {entry.split("/", 1)[-1] for entry in names}
    if "constants.pkl" in leaves:
        raise ConversionError(f"{name}: expected a checkpoint of weights, found a TorchScript program.")
    if "data.pkl" in leaves:
        return CheckpointFormat.ZIP
    if packed:
        return CheckpointFormat.PACKAGE
    raise ConversionError(
        f"{name}: expected a checkpoint written by torch.save, found a zip archive of something else "
        f"({listed(names, most=3) or 'no entries'})."
    )


def _is_tar(start: bytes) -> bool:
    return start[257:262] == b"ustar"


def _describe(start: bytes) -> str:
    text = start.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page: the link led to a page, not to the file"
    if text.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer: fetch the real file with `git lfs pull`"
    if len(start) > 9 and start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 1 << 30:
        return "a safetensors file: is it converted already?"
    if _is_tar(start):
        return "a tar archive (torch < 0.2 wrote such files; they cannot be loaded safely)"
    if start.startswith(b"\x1f\x8b"):
        return "a gzip archive: unpack it first"
    if start.startswith(b"\x80"):
        return "a Python pickle that torch.save did not write"
    return f"a file that starts with {start[:16]!r}"


__all__ = ["START_SIZE", "CheckpointFormat", "recognize_checkpoint", "recognize_start"]
