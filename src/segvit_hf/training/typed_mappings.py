"""From nested mappings to typed dataclasses and back: an unknown key or a wrong type is an error that names it."""

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Callable
from typing import Any, TypeVar

from segvit_hf.training.recipe_parsing import RecipeError, describe, join

Built = TypeVar("Built")


class _MismatchError(Exception):
    """A value is not of the expected type; whoever knows its key says so."""


def _recipe_fields(cls: Any) -> list[dataclasses.Field[Any]]:
    """The fields of a dataclass that recipes have: all whose metadata do not say `in_recipe: False`."""
    return [field for field in dataclasses.fields(cls) if field.metadata.get("in_recipe", True)]


def plain_values(value: Any) -> Any:
    """Dataclasses, mappings and sequences as nested mappings and lists, as YAML and JSON can write them."""
    if dataclasses.is_dataclass(value):
        return {field.name: plain_values(getattr(value, field.name)) for field in _recipe_fields(value)}
    if isinstance(value, dict):
        return {key: plain_values(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_values(item) for item in value]
    return value


def build_dataclass(cls: type[Built], values: Any, source: str, key: str = "") -> Built:
    """Builds the dataclass `cls` from a mapping, checking keys and types all the way down.

    Args:
        cls: A dataclass whose fields are numbers, texts, sequences, mappings and dataclasses.
        values: The mapping.
        source: What error messages begin with, for example the recipe's file name.
        key: Dotted path of `values` inside the recipe, empty at the top.

    Raises:
        RecipeError: Unknown or missing keys, wrong types, or a `ValueError` of the dataclass's own checks.
    """
    if not isinstance(values, dict):
        raise RecipeError(f"{source}: {key or 'recipe'}: expected a mapping, found {describe(values)}.")
    fields = {field.name: field for field in _recipe_fields(cls)}
    hints = typing.get_type_hints(cls)
    _refuse_unknown(values, list(fields), source, key)
    arguments = {}
    for name, field in fields.items():
        if name in values:
            arguments[name] = _convert(hints[name], values[name], source, join(key, name))
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise RecipeError(
                f"{source}: {join(key, name)}: missing, expected {_type_name(hints[name])}, "
                f"found {sorted(values) or 'nothing'}."
            )
    try:
        return cls(**arguments)
    except RecipeError:
        raise
    except ValueError as error:
        raise RecipeError(f"{source}: {key + '.' if key else ''}{error}") from error


def _refuse_unknown(values: dict[Any, Any], known: list[str], source: str, key: str) -> None:
    for name in values:
        if name not in known:
            close = difflib.get_close_matches(str(name), known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise RecipeError(f"{source}: {join(key, name)}: unknown key{hint} (known: {', '.join(known)}).")


def _convert(expected: Any, value: Any, source: str, key: str) -> Any:
    """`value` checked against the annotation `expected`; numbers, tuples and dataclasses are converted to it."""
    if dataclasses.is_dataclass(expected):
        return build_dataclass(typing.cast(type, expected), value, source, key)
    origin = typing.get_origin(expected)
    try:
        if origin in _COMPOSED:
            return _COMPOSED[origin](expected, value, source, key)
        return _check_literal(expected, value) if origin is typing.Literal else _convert_scalar(expected, value)
    except _MismatchError:
        raise RecipeError(f"{source}: {key}: expected {_type_name(expected)}, found {describe(value)}.") from None


def _convert_union(expected: Any, value: Any, source: str, key: str) -> Any:
    options = typing.get_args(expected)
    if value is None and type(None) in options:
        return None
    options = tuple(option for option in options if option is not type(None))
    if len(options) == 1:  # its own message says more
        return _convert(options[0], value, source, key)
    for option in options:
        try:
            return _convert(option, value, source, key)
        except RecipeError:
            continue
    raise _MismatchError


def _check_literal(expected: Any, value: Any) -> Any:
    for option in typing.get_args(expected):
        if value == option and type(value) is type(option):
            return value
    raise _MismatchError


def _convert_tuple(expected: Any, value: Any, source: str, key: str) -> Any:
    kinds = typing.get_args(expected)
    if not isinstance(value, (list, tuple)):
        raise _MismatchError
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(value) != len(kinds):
        raise _MismatchError
    pairs = enumerate(zip(kinds, value, strict=True))
    return tuple(_convert(kind, item, source, f"{key}[{index}]") for index, (kind, item) in pairs)


def _convert_dict(expected: Any, value: Any, source: str, key: str) -> Any:
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise _MismatchError
    kind = typing.get_args(expected)[1]
    return {name: _convert(kind, item, source, join(key, name)) for name, item in value.items()}


def _convert_scalar(expected: Any, value: Any) -> Any:
    if expected is Any:
        return value
    if isinstance(value, bool) and expected is not bool:  # Python's booleans are integers, YAML's are not
        raise _MismatchError
    if expected is float and isinstance(value, int):
        value = _as_float(value)
    if isinstance(value, float) and not math.isfinite(value):  # YAML's .inf and .nan are no settings
        raise _MismatchError
    if not isinstance(value, expected):
        raise _MismatchError
    return value


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        raise _MismatchError from None


_COMPOSED: dict[Any, Callable[[Any, Any, str, str], Any]] = {
    typing.Union: _convert_union,
    types.UnionType: _convert_union,
    tuple: _convert_tuple,
    dict: _convert_dict,
}


def _type_name(expected: Any) -> str:
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type_name(option) for option in arguments)
    if origin is typing.Literal:
        return "one of " + ", ".join(repr(option) for option in arguments)
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return f"a list of {_type_name(arguments[0])}"
        return "a list [" + ", ".join(_type_name(option) for option in arguments) + "]"
    if origin is dict or dataclasses.is_dataclass(expected):
        return "a mapping"
    names = {float: "a number", int: "an integer", str: "text", bool: "true or false", type(None): "null"}
    return names.get(expected, getattr(expected, "__name__", str(expected)))


__all__ = ["build_dataclass", "plain_values"]
