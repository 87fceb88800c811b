"""Reads an original configuration so that every field is either used, checked or known to change nothing."""

from collections.abc import Mapping
from typing import Any

from segvit_hf.conversion.errors import ConversionError

_REQUIRED: Any = object()


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
            raise ConversionError(f"{where}: expected a dictionary, found {values!r}.")
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

    def use_int(self, name: str, default: Any = _REQUIRED) -> int:
        """A field that must be a whole number."""
        value = self.use(name, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise ConversionError(f"{self.where}.{name}: expected a whole number, found {value!r}.")
        return value

    def use_number(self, name: str, default: Any = _REQUIRED) -> float:
        """A field that must be a number."""
        value = self.use(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ConversionError(f"{self.where}.{name}: expected a number, found {value!r}.")
        return float(value)

    def use_bool(self, name: str, default: Any = _REQUIRED) -> bool:
        """A field that must be true or false."""
        value = self.use(name, default)
        if not isinstance(value, bool):
            raise ConversionError(f"{self.where}.{name}: expected true or false, found {value!r}.")
        return value

    def use_pair(self, name: str, default: Any = _REQUIRED) -> list[int]:
        """A field that must be `[height, width]` or one number for both."""
        value = self.use(name, default)
        pair = [value, value] if isinstance(value, int) else list(value) if isinstance(value, (list, tuple)) else []
        if len(pair) != 2 or not all(isinstance(side, int) and side > 0 for side in pair):
            raise ConversionError(f"{self.where}.{name}: expected one or two positive whole numbers, found {value!r}.")
        return pair

    def require(self, name: str, *allowed: Any, default: Any = _REQUIRED) -> Any:
        """A field of which only some values are supported; any other one is an error that names it."""
        value = self.use(name, default)
        if not any(_same(value, choice) for choice in allowed):
            choices = " or ".join(repr(choice) for choice in allowed)
            raise ConversionError(f"{self.where}.{name} = {value!r} is not supported: expected {choices}.")
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
            raise ConversionError(f"{self.where}.{name}: expected a list of dictionaries, found {values!r}.")
        return [OriginalFields(value, f"{self.where}.{name}[{index}]") for index, value in enumerate(values)]

    def finish(self) -> None:
        """Ends the reading of this dictionary.

        Raises:
            ConversionError: If a field was neither used nor ignored.
        """
        unknown = [f"{name!r} = {value!r}" for name, value in self.values.items() if name not in self._seen]
        if unknown:
            raise ConversionError(f"{self.where}: fields that this conversion does not know: {', '.join(unknown)}.")


def _same(value: Any, choice: Any) -> bool:
    # 0 == False and () != []: compare like values only, sequences element by element.
    if isinstance(value, (list, tuple)) and isinstance(choice, (list, tuple)):
        return list(value) == list(choice)
    return value == choice and isinstance(value, bool) == isinstance(choice, bool)


__all__ = ["OriginalFields"]
