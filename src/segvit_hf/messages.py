"""Text of unknown origin made fit for a message: one line, cut, and without characters that command a terminal."""

from collections.abc import Iterable
from itertools import islice
from typing import Any

_LONGEST_VALUE = 120
_LONGEST_LINE = 400
_MOST_VALUES = 8


def printable(text: str, *, keep: str = "") -> str:
    r"""Escapes what is not printable (control characters, line ends, marks of writing direction), as `\x1b`.

    Args:
        text: Any text.
        keep: Characters that stay as they are, for example line ends.
    """
    return "".join(character if _is_harmless(character, keep) else _escaped(character) for character in text)


def shown(value: Any, longest: int = _LONGEST_VALUE) -> str:
    """A value for a message: a string as it is, anything else as `repr` has it, escaped and cut."""
    text = value if isinstance(value, str) else _representation(value)
    return _cut(printable(text[: longest + 1]), longest)


def quoted(value: Any, longest: int = _LONGEST_VALUE) -> str:
    """A value for a message as `repr` has it, strings in quotation marks, escaped and cut."""
    return _cut(_representation(value[: longest + 1] if isinstance(value, str) else value), longest)


def one_line(text: object, longest: int = _LONGEST_LINE) -> str:
    """A text, such as the error of a library, as one line without line ends or runs of spaces, escaped and cut.

    Args:
        text: Anything with a text; an error without one is called by its type.
        longest: Most characters.
    """
    words = " ".join(str(text).split()) or type(text).__name__
    return _cut(printable(words), longest)


def listed(values: Iterable[Any], most: int = _MOST_VALUES) -> str:
    """Values separated by commas, each as in `shown`; a long list is cut and counted."""
    values = list(values)
    more = f" ... and {len(values) - most} more" if len(values) > most else ""
    return ", ".join(shown(value) for value in islice(values, most)) + more


def _representation(value: Any) -> str:
    try:
        return printable(repr(value))
    except (RecursionError, ValueError):  # nested too deep, or a whole number of thousands of digits
        return f"a value of type {type(value).__name__} that is too large to show"


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}..."


def _is_harmless(character: str, keep: str) -> bool:
    return character.isprintable() or character in keep


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


__all__ = ["listed", "one_line", "printable", "quoted", "shown"]
