"""The files that a conversion reads: regular ones, and no larger than they should be."""

from pathlib import Path

from segvit_hf import regular_files
from segvit_hf.conversion.errors import ConversionError


def check_input_file(path: Path, expected: str) -> int:
    """The size in bytes of a regular file, which is not opened.

    Args:
        path: The file.
        expected: What the message calls a good one, for example "a checkpoint file (.pth)".

    Raises:
        ConversionError: There is none, or it is something else: says what.
    """
    try:
        return regular_files.check_regular_file(path, expected)
    except (OSError, ValueError) as error:
        raise ConversionError(str(error)) from error


def read_text(path: Path, expected: str, largest: int) -> str:
    """The content of a small UTF-8 file.

    Raises:
        ConversionError: It is no regular file, larger than `largest` bytes, or not UTF-8.
    """
    size = check_input_file(path, expected)
    if size > largest:
        raise ConversionError(f"{path}: expected {expected} of at most {largest} bytes, found {size} bytes.")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConversionError(f"{path}: expected {expected} in UTF-8 (byte {error.start} is not).") from error


__all__ = ["check_input_file", "read_text"]
