"""Paths among the arguments of commands."""

import argparse
from pathlib import Path


def path_argument(text: str) -> Path:
    """A path of the command line.

    Raises:
        argparse.ArgumentTypeError: The text is empty. `Path("")` is the current folder, which nobody means who passes
            a shell variable that is not set.
    """
    return Path(named_argument(text))


def named_argument(text: str) -> str:
    """A path, or the name or address of something, of the command line.

    Raises:
        argparse.ArgumentTypeError: The text is empty.
    """
    if not text:
        raise argparse.ArgumentTypeError("expected a path, found an empty text.")
    return text


__all__ = ["named_argument", "path_argument"]
