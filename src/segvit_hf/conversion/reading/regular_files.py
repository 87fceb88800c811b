"""Opens nothing but regular files of a size that makes sense; what is wrong with others is a `ConversionError`."""

from pathlib import Path

from segvit_hf import regular_files
from segvit_hf.conversion.errors import ConversionError


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
        regular_files.check_regular_file(path, expected)
        return path.stat().st_size
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConversionError(f"{path}: no such file.") from error
    except OSError as error:
        raise ConversionError(f"{path}: expected {expected}, which cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise ConversionError(str(error)) from error


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
