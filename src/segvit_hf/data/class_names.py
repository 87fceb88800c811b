"""The names of a model's classes by their ids."""

from collections.abc import Mapping
from typing import Any


def class_names(config: Any) -> dict[int, str]:
    """The classes that a model's configuration names, in the order of their ids; none without an `id2label`."""
    return names_by_id(getattr(config, "id2label", None) or {})


def names_by_id(id2label: Mapping[int, str] | Mapping[str, str]) -> dict[int, str]:
    """`id2label` with integer keys, which JSON makes strings, in rising order."""
    return dict(sorted((int(id_), str(name)) for id_, name in id2label.items()))


__all__ = ["class_names", "names_by_id"]
