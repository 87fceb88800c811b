"""The YAML of recipes and of overrides: nested mappings whose fields have dotted keys."""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from segvit_hf.messages import one_line, quoted, shown
from segvit_hf.yaml_limits import load_limited

_LARGEST_FILE = 1 << 20
_LONGEST_TEXT = 200


class RecipeError(ValueError):
    """A recipe (or an override of one of its fields) is not valid; the message names file, key and value."""


class _RecipeLoader(yaml.SafeLoader):
    """Reads `1e-4` as a number, which YAML 1.1 takes for text, and refuses a key that stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(None, None, "a key that is no text", key_node.start_mark)
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
        RecipeError: The file is missing, is not UTF-8 or not YAML, is nested or repeats itself beyond any use, or does
            not hold a mapping.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise RecipeError(f"{path}: expected a recipe of at most {_LARGEST_FILE} bytes, found a larger file.")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RecipeError(f"{path}: expected a recipe that can be read, found: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: expected a recipe in UTF-8, found another encoding: {error}.") from error
    value = parse_value(text, source=str(path))
    if not isinstance(value, dict):
        raise RecipeError(f"{path}: expected a mapping of recipe fields, found {describe(value)}.")
    return value


def parse_value(text: str, source: str) -> Any:
    """One YAML value (used for whole files and for the right-hand side of `--set key=value`)."""
    try:
        return load_limited(text, _RecipeLoader)
    except (yaml.YAMLError, ValueError, TypeError, OverflowError) as error:
        raise RecipeError(f"{source}: expected valid YAML, found: {one_line(error)}.") from error


def apply_override(values: dict[str, Any], assignment: str) -> None:
    """Writes one `section.field=value` into a nested mapping, in place; the value is read as YAML.

    Raises:
        RecipeError: There is no `=`, or the path goes through something that is not a section.
    """
    key, separator, text = assignment.partition("=")
    key = key.strip()
    if not separator or not key:
        raise RecipeError(f"--set: expected section.field=value, found {assignment!r}.")
    set_field(values, key, parse_value(text, source=f"--set {key}"))


def set_field(values: dict[str, Any], key: str, value: Any) -> None:
    """Writes `value` at the dotted `key` of a nested mapping, in place; missing sections are made."""
    *sections, field = key.split(".")
    for depth, section in enumerate(sections):
        inner = values.setdefault(section, {})
        if inner is None:
            inner = values[section] = {}
        if not isinstance(inner, dict):
            section = ".".join(sections[: depth + 1])
            raise RecipeError(f"{key}: expected {section} to be a section, found {describe(inner)}.")
        values = inner
    values[field] = value


def join(key: str, name: object) -> str:
    """`section.field` for a section and a field in it; at the top, the field alone."""
    return f"{key}.{shown(name, _LONGEST_TEXT)}" if key else shown(name, _LONGEST_TEXT)


def describe(value: object) -> str:
    """A value as error messages show it: its text, cut where it is long, and its type."""
    return "nothing" if value is None else f"{quoted(value, _LONGEST_TEXT)} ({type(value).__name__})"


__all__ = ["RecipeError", "apply_override", "describe", "join", "parse_value", "read_yaml", "set_field"]
