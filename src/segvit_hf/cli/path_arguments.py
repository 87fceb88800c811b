"""Paths among the arguments of commands."""

import argparse
from pathlib import Path


def path_argument(text: str) -> Path:
    """A path of the command line.

    Raises:
        argparse.ArgumentTypeError: The text is empty. `Path("")` is the current folder, which nobody means who passes
            a shell variable that is not set.
    """
    if not text:
        raise argparse.ArgumentTypeError("expected a path, found an empty text.")
    return Path(text)


__all__ = ["path_argument"]
