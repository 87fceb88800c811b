"""YAML that is small enough to be built: aliases and nesting make a page of text into values without end."""

from typing import Any

import yaml

_MOST_VALUES = 20_000
_DEEPEST_NESTING = 30


def load_limited(text: str, loader_class: type[yaml.SafeLoader]) -> Any:
    """The value of a YAML text, after a look at how large it will be.

    Args:
        text: One YAML document.
        loader_class: What builds the value.

    Raises:
        yaml.YAMLError: It is no YAML.
        ValueError: Values are nested more than 30 deep, hold themselves, are more than 20,000 in number when every
            alias is counted as what it stands for, or one of them is no number, date, ... that exists.
    """
    try:
        loader = loader_class(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _count(node, {}, 0)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except RecursionError:
        raise ValueError(f"values that are nested more than {_DEEPEST_NESTING} deep") from None


def _count(node: yaml.Node, counts: dict[int, tuple[int, int]], depth: int) -> tuple[int, int]:
    """How many values a node stands for, and how deep they are nested."""
    if depth > _DEEPEST_NESTING:
        raise ValueError(f"values that are nested more than {_DEEPEST_NESTING} deep, or that hold themselves")
    if id(node) not in counts:
        inner = [_count(child, counts, depth + 1) for child in _children(node)]
        counts[id(node)] = 1 + sum(count for count, _ in inner), 1 + max((height for _, height in inner), default=0)
    count, height = counts[id(node)]
    if depth + height > _DEEPEST_NESTING + 1:
        raise ValueError(f"values that are nested more than {_DEEPEST_NESTING} deep")
    if count > _MOST_VALUES:
        raise ValueError(f"more than {_MOST_VALUES} values, with every alias (*) as what it stands for")
    return count, height


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [child for pair in node.value for child in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


__all__ = ["load_limited"]
