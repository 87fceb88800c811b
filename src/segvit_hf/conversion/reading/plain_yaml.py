"""Reads YAML without executing anything in it."""

from pathlib import Path
from typing import Any

import yaml

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.reading.input_files import read_text
from segvit_hf.messages import one_line
from segvit_hf.yaml_limits import load_limited

# Far more than any training code writes.
_LARGEST_FILE = 1 << 18
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
        content = load_limited(text, _PlainLoader)
    # yaml's constructors let through whatever int, float or a date raise.
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise ConversionError(f"{path}: expected YAML of plain values ({one_line(error)}).") from error
    if not isinstance(content, dict):
        raise ConversionError(f"{path}: expected a YAML dictionary, found {type(content).__name__}.")
    return content


__all__ = ["read_plain_yaml"]
