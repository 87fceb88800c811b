"""Reads YAML without executing anything in it."""

from pathlib import Path
from typing import Any

import yaml

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.reading.regular_files import read_text
from segvit_hf.messages import shown

# Far more than any training code writes; what is larger or deeper only wants to fill the memory.
_LARGEST_FILE = 1 << 18
_MOST_VALUES = 20_000
_DEEPEST_NESTING = 30
_MOST_DIGITS = 30


class _PlainLoader(yaml.SafeLoader):
    """yaml's safe loader, which also builds the tuples that `yaml.dump` of training code writes."""


def _construct_tuple(loader: yaml.SafeLoader, node: yaml.SequenceNode) -> tuple[Any, ...]:
    return tuple(loader.construct_sequence(node, deep=True))


def _construct_int(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    if len(node.value) > _MOST_DIGITS:
        raise ValueError(f"a whole number of {len(node.value)} digits")
    return loader.construct_yaml_int(node)


_PlainLoader.add_constructor("tag:yaml.org,2002:python/tuple", _construct_tuple)
_PlainLoader.add_constructor("tag:yaml.org,2002:int", _construct_int)


def read_plain_yaml(path: Path) -> dict[str, Any]:
    """A dictionary of plain values: numbers, strings, lists, tuples, dictionaries.

    Raises:
        ConversionError: The file is missing, holds no dictionary, wants anything else built, or is nested or repeats
            itself (`&` and `*`) beyond any use.
    """
    text = read_text(path, "YAML of plain values", _LARGEST_FILE)
    try:
        content = _load(text)
    # yaml's constructors let through whatever int, float or a date raise.
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, OverflowError) as error:
        reason = shown(" ".join(str(error).split()), longest=300)
        raise ConversionError(f"{path}: expected YAML of plain values ({reason}).") from error
    except RecursionError as error:
        raise ConversionError(f"{path}: expected YAML of plain values, found values nested too deep.") from error
    if not isinstance(content, dict):
        raise ConversionError(f"{path}: expected a YAML dictionary, found {type(content).__name__}.")
    return content


def _load(text: str) -> Any:
    loader = _PlainLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _measure(node, {})
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _measure(node: yaml.Node, measured: dict[int, tuple[int, int]], depth: int = 0) -> tuple[int, int]:
    """How many values a node stands for, each repetition counted, and how deep they are nested."""
    if depth <= _DEEPEST_NESTING and id(node) not in measured:
        children = [] if isinstance(node, yaml.ScalarNode) else _children(node)
        sizes = [_measure(child, measured, depth + 1) for child in children]
        count = 1 + sum(count for count, _ in sizes)
        measured[id(node)] = count, 1 + max((height for _, height in sizes), default=0)
    count, height = measured.get(id(node), (0, _DEEPEST_NESTING + 1))
    if count > _MOST_VALUES:
        raise ValueError(f"more than {_MOST_VALUES} values")
    if height > _DEEPEST_NESTING:
        raise ValueError(f"values that are nested more than {_DEEPEST_NESTING} deep, or hold themselves")
    return count, height


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [child for pair in node.value for child in pair]
    return list(node.value)


__all__ = ["read_plain_yaml"]
