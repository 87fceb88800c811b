"""Reads YAML without executing anything in it."""

from pathlib import Path
from typing import Any

import yaml

from segvit_hf.conversion.errors import ConversionError


class _PlainLoader(yaml.SafeLoader):
    """yaml's safe loader, which also builds the tuples that `yaml.dump` of training code writes."""


def _construct_tuple(loader: yaml.SafeLoader, node: yaml.SequenceNode) -> tuple[Any, ...]:
    return tuple(loader.construct_sequence(node, deep=True))


_PlainLoader.add_constructor("tag:yaml.org,2002:python/tuple", _construct_tuple)


def read_plain_yaml(path: Path) -> dict[str, Any]:
    """A dictionary of plain values: numbers, strings, lists, tuples, dictionaries.

    Raises:
        ConversionError: The file is missing, holds no dictionary, or wants anything else built.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_PlainLoader)  # a subclass of SafeLoader
    except FileNotFoundError as error:
        raise ConversionError(f"{path}: no such file.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConversionError(f"{path}: expected YAML of plain values ({' '.join(str(error).split())}).") from error
    if not isinstance(content, dict):
        raise ConversionError(f"{path}: expected a YAML dictionary, found {type(content).__name__}.")
    return content


__all__ = ["read_plain_yaml"]
