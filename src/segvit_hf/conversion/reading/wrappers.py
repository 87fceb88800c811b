"""Finds the weights in what a checkpoint file holds: training code nests them, and stores much beside them."""

from collections.abc import Mapping
from typing import Any

import torch

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.messages import listed, shown

# Keys under which training code nests the weights, in the order in which they are tried.
WRAPPER_KEYS = ("state_dict", "model", "module")
# The deepest that is known is {"model": {"state_dict": ...}}.
_DEEPEST_NESTING = 4
# The largest model has about a thousand.
_MOST_WEIGHTS = 20_000
# Prefix that torch's DistributedDataParallel adds to every name.
_PARALLEL_PREFIX = "module."
_MOST_IGNORED = 50
_LONGEST_NAME = 200


def unwrap(content: Any, name: str) -> tuple[dict[str, torch.Tensor], tuple[str, ...], dict[str, str]]:
    """The weights in the content of a file.

    Args:
        content: What `torch.load` gave.
        name: How messages call the file.

    Returns:
        Names to tensors; the keys that had to be opened, outermost first; what lies beside, by key.

    Raises:
        ConversionError: There are no weights, or they are nested too deep, too many, or without names.
    """
    wrapper: list[str] = []
    beside: list[tuple[str, Any]] = []
    while (key := _wrapper_key(content)) is not None:
        if len(wrapper) == _DEEPEST_NESTING:
            raise ConversionError(
                f"{name}: expected weights under at most {_DEEPEST_NESTING} of the keys {', '.join(WRAPPER_KEYS)}, "
                f"found more, one in the other ({'.'.join(wrapper)}.{key} ...)."
            )
        beside += _below(wrapper, ((other, value) for other, value in content.items() if other != key))
        wrapper.append(key)
        content = content[key]
    if not isinstance(content, Mapping):
        raise ConversionError(f"{name}: expected a dictionary of weights, found {_summary(content)}.")
    weights = {key: value for key, value in content.items() if isinstance(value, torch.Tensor)}
    beside += _below(wrapper, ((key, value) for key, value in content.items() if not isinstance(value, torch.Tensor)))
    if not weights:
        raise ConversionError(
            f"{name}: expected weights at the top level or under one of {', '.join(WRAPPER_KEYS)}; found "
            f"{listed(content) or 'nothing'}."
        )
    _check_names(weights, name)
    return _without_prefix(weights), tuple(wrapper), _ignored(beside)


def _wrapper_key(content: Any) -> str | None:
    if not isinstance(content, Mapping):
        return None
    return next((key for key in WRAPPER_KEYS if isinstance(content.get(key), Mapping)), None)


def _check_names(weights: Mapping[Any, torch.Tensor], name: str) -> None:
    unnamed = [key for key in weights if not isinstance(key, str) or len(key) > _LONGEST_NAME]
    if unnamed:
        raise ConversionError(
            f"{name}: expected weights with names of at most {_LONGEST_NAME} letters, found {listed(unnamed)}."
        )
    if len(weights) > _MOST_WEIGHTS:
        raise ConversionError(f"{name}: expected at most {_MOST_WEIGHTS} weights, found {len(weights)}.")


def _without_prefix(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    prefix = _PARALLEL_PREFIX if all(key.startswith(_PARALLEL_PREFIX) for key in weights) else ""
    return {key.removeprefix(prefix): value.detach() for key, value in weights.items()}


def _below(wrapper: list[str], items: Any) -> list[tuple[str, Any]]:
    return [(".".join([*wrapper, shown(key)]), value) for key, value in items]


def _ignored(beside: list[tuple[str, Any]]) -> dict[str, str]:
    ignored = {key: _summary(value) for key, value in beside[:_MOST_IGNORED]}
    if len(beside) > _MOST_IGNORED:
        ignored["..."] = f"{len(beside) - _MOST_IGNORED} more"
    return ignored


def _summary(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {list(value.shape)}"
    if isinstance(value, (Mapping, list, tuple, set)):
        return f"a {type(value).__name__} of {len(value)} entries"
    return f"a value of type {shown(type(value).__name__)}"


__all__ = ["WRAPPER_KEYS", "unwrap"]
