"""Opens nothing but regular files: a pipe or a device would wait for ever, or never end."""

import os
import stat
from pathlib import Path

from segvit_hf.conversion.errors import ConversionError

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def check_regular_file(path: Path, expected: str) -> int:
    """Checks that a path is a file with a beginning and an end, without opening it.

    Args:
        path: The file.
        expected: What the message calls a good one, for example "a checkpoint file (.pth)".

    Returns:
        Its size in bytes.

    Raises:
        ConversionError: There is none, or it is something else: says what.
    """
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConversionError(f"{path}: no such file.") from error
    except OSError as error:
        raise ConversionError(f"{path}: expected {expected}, which cannot be read ({error.strerror}).") from error
    if not stat.S_ISREG(found.st_mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(found.st_mode)), "something else")
        raise ConversionError(f"{path}: expected {expected}, found {kind}.")
    return found.st_size


def read_text(path: Path, expected: str, largest: int) -> str:
    """The content of a small UTF-8 file.

    Raises:
        ConversionError: It is no regular file, larger than `largest` bytes, or not UTF-8.
    """
    size = check_regular_file(path, expected)
    if size > largest:
        raise ConversionError(f"{path}: expected {expected} of at most {largest} bytes, found {size} bytes.")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConversionError(f"{path}: expected {expected} in UTF-8 (byte {error.start} is not).") from error


__all__ = ["check_regular_file", "read_text"]
