"""Paths that are given to decoders, some of which wait for ever at a named pipe or read a device without end."""

import stat
from pathlib import Path

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def check_regular_file(path: str | Path, expected: str = "a file") -> None:
    """Refuses what is no plain file, without opening it.

    Args:
        path: The file.
        expected: What the message says that it should be.

    Raises:
        FileNotFoundError: There is nothing of that name.
        ValueError: It is a folder, a named pipe, a device or a socket, or the path is empty.
    """
    if not str(path):
        raise ValueError("expected the path of a file, found an empty text.")
    try:
        mode = Path(path).stat().st_mode
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file.") from None
    for is_kind, found in _KINDS:
        if is_kind(mode):
            raise ValueError(f"{path}: expected {expected}, found {found}.")


__all__ = ["check_regular_file"]
