"""Paths that are given to decoders, some of which wait for ever at a named pipe or read a device without end."""

import os
import stat
from pathlib import Path

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def check_regular_file(path: str | Path, expected: str = "a file") -> int:
    """Refuses what is no plain file, without opening it.

    Args:
        path: The file.
        expected: What the message calls a good one, for example "a checkpoint file (.pth)".

    Returns:
        Its size in bytes.

    Raises:
        FileNotFoundError: There is nothing of that name.
        ValueError: It cannot be looked at, is a folder, a named pipe, a device or a socket, or the path is empty.
    """
    if not str(path):
        raise ValueError("expected the path of a file, found an empty text.")
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"{path}: no such file.") from None
    except OSError as error:
        raise ValueError(f"{path}: expected {expected}, which cannot be read ({error.strerror}).") from error
    if not stat.S_ISREG(status.st_mode):
        found = next((name for is_kind, name in _KINDS if is_kind(status.st_mode)), "something else")
        raise ValueError(f"{path}: expected {expected}, found {found}.")
    return status.st_size


__all__ = ["check_regular_file"]
