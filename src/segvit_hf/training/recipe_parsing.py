"""From YAML text to typed dataclasses: an unknown key or a wrong type is an error that says where it stands."""

import dataclasses
import difflib
import re
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

import yaml

Built = TypeVar("Built")


class RecipeError(ValueError):
    """A recipe (or an override of one of its fields) is not valid; the message names file, key and value."""


class _RecipeLoader(yaml.SafeLoader):
    """YAML 1.1 reads `1e-4` as text; recipes are full of such numbers, so here they are floats. No key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


_RecipeLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping stored in a YAML file.

    Raises:
        RecipeError: the file is missing, is not YAML, or does not hold a mapping.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RecipeError(f"{path}: cannot read the recipe: {error.strerror}") from error
    value = parse_value(text, source=str(path))
    if not isinstance(value, dict):
        raise RecipeError(f"{path}: expected a mapping of recipe fields, found {describe(value)}")
    return value


def parse_value(text: str, source: str) -> Any:
    """One YAML value (used for whole files and for the right-hand side of `--set key=value`)."""
    try:
        return yaml.load(text, Loader=_RecipeLoader)
    except yaml.YAMLError as error:
        raise RecipeError(f"{source}: not valid YAML: {error}") from error


def apply_override(values: dict[str, Any], assignment: str) -> None:
    """Write one `section.field=value` into a nested mapping, in place; the value is read as YAML.

    Raises:
        RecipeError: there is no `=`, or the path goes through something that is not a section.
    """
    key, separator, text = assignment.partition("=")
    key = key.strip()
    if not separator or not key:
        raise RecipeError(f"--set: expected section.field=value, found {assignment!r}")
    set_field(values, key, parse_value(text, source=f"--set {key}"))


def set_field(values: dict[str, Any], key: str, value: Any) -> None:
    """Write `value` at the dotted `key` of a nested mapping, in place; missing sections are made."""
    *sections, field = key.split(".")
    for depth, section in enumerate(sections):
        inner = values.setdefault(section, {})
        if inner is None:
            inner = values[section] = {}
        if not isinstance(inner, dict):
            raise RecipeError(f"{key}: {'.'.join(sections[: depth + 1])} is {describe(inner)}, not a section")
        values = inner
    values[field] = value


def build_dataclass(cls: type[Built], values: Any, source: str, key: str = "") -> Built:
    """Build the dataclass `cls` from a mapping, checking keys and types all the way down.

    Args:
        source: what error messages begin with, for example the recipe's file name.
        key: dotted path of `values` inside the recipe, empty at the top.

    Raises:
        RecipeError: unknown or missing keys, wrong types, or a `ValueError` of the dataclass's own checks.
    """
    if not isinstance(values, dict):
        raise RecipeError(f"{source}: {key or 'recipe'}: expected a mapping, found {describe(values)}")
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(cls)
    for name in values:
        if name not in fields:
            close = difflib.get_close_matches(str(name), fields, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise RecipeError(f"{source}: {join(key, name)}: unknown key{hint} (known: {', '.join(fields)})")
    arguments = {}
    for name, field in fields.items():
        if name in values:
            arguments[name] = _convert(hints[name], values[name], source, join(key, name))
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise RecipeError(
                f"{source}: {join(key, name)}: missing, expected {_type_name(hints[name])}; "
                f"found {sorted(values) or 'nothing'}"
            )
    try:
        return cls(**arguments)
    except RecipeError:
        raise
    except ValueError as error:
        raise RecipeError(f"{source}: {key + '.' if key else ''}{error}") from error


def join(key: str, name: object) -> str:
    """`section` and `field` to `section.field`."""
    return f"{key}.{name}" if key else str(name)


def describe(value: object) -> str:
    """A value as error messages show it: its text and its type."""
    return "nothing" if value is None else f"{value!r} ({type(value).__name__})"


def _convert(expected: Any, value: Any, source: str, key: str) -> Any:
    """`value` checked against the annotation `expected`; numbers, tuples and dataclasses are converted to it."""
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if expected is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        options = [option for option in arguments if option is not type(None)]
        if len(options) == 1:
            return _convert(options[0], value, source, key)
        for option in options:
            try:
                return _convert(option, value, source, key)
            except RecipeError:
                continue
    elif origin is typing.Literal:
        if value in arguments and type(value) in {type(argument) for argument in arguments}:
            return value
    elif dataclasses.is_dataclass(expected):
        return build_dataclass(typing.cast(type, expected), value, source, key)
    elif origin is tuple:
        if isinstance(value, (list, tuple)):
            variadic = len(arguments) == 2 and arguments[1] is Ellipsis
            if variadic or len(value) == len(arguments):
                kinds = [arguments[0]] * len(value) if variadic else arguments
                pairs = enumerate(zip(kinds, value, strict=True))
                return tuple(_convert(kind, item, source, f"{key}[{index}]") for index, (kind, item) in pairs)
    elif origin is dict:
        if isinstance(value, dict) and all(isinstance(name, str) for name in value):
            return {name: _convert(arguments[1], item, source, join(key, name)) for name, item in value.items()}
    elif expected is float:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
    elif isinstance(value, expected) and not (expected is int and isinstance(value, bool)):
        return value
    raise RecipeError(f"{source}: {key}: expected {_type_name(expected)}, found {describe(value)}")


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
