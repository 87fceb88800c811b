"""Measures a pickle before anything is built from it: how long it is, and how deep its values are nested.

torch's restricted unpickler runs no code, but it builds whatever a pickle describes: each byte may become an object of
sixty, and hashing a tuple that is nested a million deep ends the process.
"""

import pickletools
from typing import IO, Any

# The pickles of released files, optimizer states included, have less than a tenth of either.
LONGEST_PICKLE = 16 << 20
_DEEPEST_NESTING = 100
# The older format of torch.save: magic number, version, system, content, names of the storages.
LEGACY_PICKLES = 5

_PUTS = ("PUT", "BINPUT", "LONG_BINPUT")
_GETS = ("GET", "BINGET", "LONG_BINGET")
# Add to the container below: number of values, or `None` for all that follow the mark.
_ADDITIONS: dict[str, int | None] = {
    "APPEND": 1,
    "SETITEM": 2,
    "BUILD": 1,
    "APPENDS": None,
    "SETITEMS": None,
    "ADDITEMS": None,
}


class PickleLimitError(ValueError):
    """A pickle that is too long, nested too deep, or no pickle."""


def check_pickle(stream: IO[bytes]) -> None:
    """Reads one pickle to its end without building anything; leaves the stream behind it.

    Raises:
        PickleLimitError: It is longer or deeper than any checkpoint's, or damaged.
    """
    try:
        _Nesting().read(_Limited(stream))
    except PickleLimitError:
        raise
    except (ValueError, IndexError, KeyError, OverflowError, MemoryError) as error:
        raise PickleLimitError("it is damaged") from error


class _Limited:
    """A stream that refuses to give more bytes than a pickle may have."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._left = LONGEST_PICKLE

    def read(self, size: int) -> bytes:
        self._spend(size)
        return self._stream.read(size)

    def readline(self) -> bytes:
        line = self._stream.readline(self._left + 1)
        self._spend(len(line))
        return line

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise PickleLimitError(f"it is longer than {LONGEST_PICKLE} bytes")


class _Nesting:
    """Follows the stack of the unpickler, with the depth of every value in the place of the value.

    A list or dictionary that grows after it was stored is counted as it was then; tuples, which alone are hashed,
    cannot grow.
    """

    def __init__(self) -> None:
        self._stack: list[int] = []
        self._marks: list[int] = []
        self._memo: dict[int, int] = {}

    def read(self, stream: Any) -> None:
        for opcode, argument, _ in pickletools.genops(stream):
            self._follow(opcode, argument)

    def _follow(self, opcode: pickletools.OpcodeInfo, argument: Any) -> None:
        name = opcode.name
        if name in _PUTS:
            self._memo[argument] = self._stack[-1]
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = self._stack[-1]
        elif name in _GETS:
            self._stack.append(self._memo[argument])
        elif name == "MARK":
            self._marks.append(len(self._stack))
        elif name == "DUP":
            self._stack.append(self._stack[-1])
        elif name in _ADDITIONS:
            self._put_around(self._pop(_ADDITIONS[name]), around=self._pop(1))
        else:
            self._build(opcode)

    def _build(self, opcode: pickletools.OpcodeInfo) -> None:
        """What takes values from the stack and makes one of them: tuples, lists, objects; or a plain value."""
        before = opcode.stack_before
        values = self._pop(None if pickletools.markobject in before else len(before))
        if opcode.stack_after:
            self._put_around(values)

    def _pop(self, count: int | None) -> list[int]:
        start = self._marks.pop() if count is None else len(self._stack) - count
        if start < 0:
            raise ValueError("a value is missing")
        values = self._stack[start:]
        del self._stack[start:]
        return values

    def _put_around(self, values: list[int], around: list[int] | None = None) -> None:
        depth = max([*(around or []), *(value + 1 for value in values)], default=0)
        if depth > _DEEPEST_NESTING:
            raise PickleLimitError(f"its values are nested more than {_DEEPEST_NESTING} deep")
        self._stack.append(depth)


__all__ = ["LEGACY_PICKLES", "LONGEST_PICKLE", "PickleLimitError", "check_pickle"]
