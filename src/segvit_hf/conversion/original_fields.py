"""Reads an original configuration so that every field is either used, checked or known to change nothing."""

from collections.abc import Mapping
from typing import Any

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.messages import listed, quoted, shown

_REQUIRED: Any = object()
# Beyond any model of the literature; a configuration that says more would only keep the program busy for hours.
LARGEST_SIZE = 100_000
MOST_LAYERS = 1_000
_LARGEST_NUMBER = 1e9
_LARGEST_RATIO = 1_000


class OriginalFields:
    """One dictionary of an original configuration.

    Every field must be asked for, by `use`, `require` or `ignore`; `finish` refuses the rest, so that a setting that
    changes the model cannot be overlooked.

    Args:
        values: The dictionary.
        where: How error messages call it, for example `model.backbone`.
    """

    def __init__(self, values: Any, where: str) -> None:
        if not isinstance(values, Mapping):
            raise ConversionError(f"{where}: expected a dictionary, found {shown(values)}.")
        unnamed = [name for name in values if not isinstance(name, str)]
        if unnamed:
            raise ConversionError(f"{where}: expected fields with names, found {listed(unnamed)}.")
        self.values = values
        self.where = where
        self._seen: set[str] = set()

    def use(self, name: str, default: Any = _REQUIRED) -> Any:
        """The value of a field; `default` is what the original's constructor assumes when it is absent."""
        self._seen.add(name)
        if name in self.values:
            return self.values[name]
        if default is _REQUIRED:
            raise ConversionError(f"{self.where}: the field {name!r} is missing.")
        return default

    def use_int(self, name: str, default: Any = _REQUIRED, *, minimum: int = 1, maximum: int = LARGEST_SIZE) -> int:
        """A field that must be a whole number between two others; by default a size that a model can have."""
        value = self.use(name, default)
        if not _is_number(value, int):
            raise self._unexpected(name, "a whole number", value)
        if not minimum <= value <= maximum:
            raise self._unexpected(name, f"a whole number from {minimum} to {maximum}", value)
        return value

    def use_layers(self, name: str, default: Any = _REQUIRED, *, minimum: int = 1) -> int:
        """A field that must be a number of layers or of anything else that a model has one after the other."""
        return self.use_int(name, default, minimum=minimum, maximum=MOST_LAYERS)

    def use_index(self, name: str, default: Any = _REQUIRED) -> int:
        """A field that must be the number of a layer, feature map or class; negative ones count from the end."""
        return self.use_int(name, default, minimum=-LARGEST_SIZE)

    def use_indices(self, name: str, default: Any = _REQUIRED) -> list[int]:
        """A field that must be one such number or a list of them."""
        value = self.use(name, default)
        indices = list(value) if isinstance(value, (list, tuple)) else [value]
        if len(indices) > MOST_LAYERS or not all(_is_number(i, int) and abs(i) <= LARGEST_SIZE for i in indices):
            raise self._unexpected(name, "whole numbers", value)
        return indices

    def use_number(self, name: str, default: Any = _REQUIRED, *, minimum: float = 0.0) -> float:
        """A field that must be a finite number, by default none below 0."""
        value = self.use(name, default)
        if not _is_number(value, int, float) or not minimum <= value <= _LARGEST_NUMBER:
            raise self._unexpected(name, f"a number from {minimum} on", value)
        return float(value)

    def use_ratio(self, name: str, default: Any = _REQUIRED) -> float:
        """A field that must be the width of one thing in units of another's."""
        value = self.use(name, default)
        if not _is_number(value, int, float) or not 0 < value <= _LARGEST_RATIO:
            raise self._unexpected(name, f"a number above 0 and up to {_LARGEST_RATIO}", value)
        return float(value)

    def use_rate(self, name: str, default: Any = _REQUIRED) -> float:
        """A field that must be a share of what is dropped: 0 or more, below 1."""
        value = self.use(name, default)
        if not _is_number(value, int, float) or not 0 <= value < 1:
            raise self._unexpected(name, "a number from 0 to below 1", value)
        return float(value)

    def use_epsilon(self, name: str, default: Any = _REQUIRED) -> float:
        """A field that must be the small number in the denominator of a norm."""
        value = self.use(name, default)
        if not _is_number(value, int, float) or not 0 < value < 1:
            raise self._unexpected(name, "a number above 0 and below 1", value)
        return float(value)

    def use_bool(self, name: str, default: Any = _REQUIRED) -> bool:
        """A field that must be true or false."""
        value = self.use(name, default)
        if not isinstance(value, bool):
            raise self._unexpected(name, "true or false", value)
        return value

    def use_pair(self, name: str, default: Any = _REQUIRED) -> list[int]:
        """A field that must be `[height, width]` or one number for both."""
        value = self.use(name, default)
        pair = list(value) if isinstance(value, (list, tuple)) else [value, value]
        if len(pair) != 2 or not all(_is_number(side, int) and 0 < side <= LARGEST_SIZE for side in pair):
            raise self._unexpected(name, f"one or two whole numbers from 1 to {LARGEST_SIZE}", value)
        return pair

    def require(self, name: str, *allowed: Any, default: Any = _REQUIRED) -> Any:
        """A field of which only some values are supported; any other one is an error that names it."""
        value = self.use(name, default)
        if not any(_same(value, choice) for choice in allowed):
            choices = " or ".join(repr(choice) for choice in allowed)
            raise ConversionError(f"{self.where}.{name} = {quoted(value)} is not supported: expected {choices}.")
        return value

    def ignore(self, *names: str) -> None:
        """Fields that change neither outputs nor the loss (initialization, memory saving, unused by the original)."""
        self._seen.update(names)

    def section(self, name: str) -> "OriginalFields":
        """A nested dictionary."""
        return OriginalFields(self.use(name), f"{self.where}.{name}")

    def sections(self, name: str) -> list["OriginalFields"]:
        """A list of nested dictionaries; empty where the field is absent or null."""
        values = self.use(name, None)
        if values is None:
            return []
        if not isinstance(values, (list, tuple)):
            raise self._unexpected(name, "a list of dictionaries", values)
        return [OriginalFields(value, f"{self.where}.{name}[{index}]") for index, value in enumerate(values)]

    def finish(self) -> None:
        """Ends the reading of this dictionary.

        Raises:
            ConversionError: If a field was neither used nor ignored.
        """
        unknown = [
            f"{quoted(name)} = {quoted(value)}" for name, value in self.values.items() if name not in self._seen
        ]
        if unknown:
            raise ConversionError(f"{self.where}: fields that this conversion does not know: {listed(unknown)}.")

    def _unexpected(self, name: str, expected: str, value: Any) -> ConversionError:
        return ConversionError(f"{self.where}.{name}: expected {expected}, found {quoted(value)}.")


def _is_number(value: Any, *kinds: type) -> bool:
    # True and False are whole numbers to Python.
    return isinstance(value, kinds) and not isinstance(value, bool)


def _same(value: Any, choice: Any) -> bool:
    # 0 == False and () != []: compare like values only, sequences element by element.
    if isinstance(value, (list, tuple)) and isinstance(choice, (list, tuple)):
        return list(value) == list(choice)
    return value == choice and isinstance(value, bool) == isinstance(choice, bool)


__all__ = ["LARGEST_SIZE", "MOST_LAYERS", "OriginalFields"]
