"""From the names of an original checkpoint to ours: a table of rules, and the check that nothing is left over.

A rule is a pair of names with placeholders. `{layer}` stands for a number, `{stage+1}` for a number that is one more
on this side than on the other, `{rest}` for anything:

    rename("decode_head.decoder_{stage+1}.layers.{layer}.linear1.{rest}",
           "decoder.stages.{stage}.layers.{layer}.mlp.fc1.{rest}")

Rules are tried in order, the first that fits the whole name wins. Since a rule also reads backwards, errors can give
the original name of a weight that is missing.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import torch

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.messages import shown

_PLACEHOLDER = re.compile(r"\{(?P<name>[a-z_]+)(?P<offset>[+-]\d+)?\}")
_ANYTHING = "rest"
_NUMBER = "[0-9]{1,6}"
# Longer lists of keys are cut in error messages.
MAX_KEYS_SHOWN = 30


@dataclass(frozen=True)
class Rule:
    """One line of a table: an original name, and ours or the reason why there is none. See the module's docstring."""

    original: str
    ours: str | None
    reason: str = ""


@dataclass(frozen=True)
class KeyMatch:
    """The outcome of `match_keys`.

    Attributes:
        sources: Our parameter name to the original key that fills it.
        report: Every original key to our parameter name, or to "dropped: <reason>".
    """

    sources: dict[str, str]
    report: dict[str, str]


def rename(original: str, ours: str) -> Rule:
    """A weight that we have under another name."""
    return Rule(original, ours)


def drop(original: str, reason: str) -> Rule:
    """An entry that we have no use for, and why."""
    return Rule(original, None, reason)


def under(original_prefix: str, our_prefix: str, rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """The same rules for a module that sits at another place; both prefixes may hold placeholders."""
    return tuple(
        Rule(original_prefix + rule.original, None if rule.ours is None else our_prefix + rule.ours, rule.reason)
        for rule in rules
    )


def rename_key(key: str, rules: Sequence[Rule]) -> str | None:
    """Our name for an original key.

    Returns:
        Our name, or "dropped: <reason>", or `None` if no rule fits.
    """
    for rule in rules:
        values = _read(rule.original, key)
        if values is not None:
            return f"dropped: {rule.reason}" if rule.ours is None else _write(rule.ours, values)
    return None


def original_name(our_name: str, rules: Sequence[Rule]) -> str | None:
    """The original key that a parameter of ours comes from, or `None` if no rule gives it."""
    for rule in rules:
        values = None if rule.ours is None else _read(rule.ours, our_name)
        if values is not None:
            return _write(rule.original, values)
    return None


def size_along(tensor: torch.Tensor, axis: int) -> int | None:
    """The size of a tensor along an axis; `None` if it lacks the axis, which matching its shape will tell."""
    return tensor.shape[axis] if axis < tensor.ndim else None


def match_keys(
    state_dict: Mapping[str, torch.Tensor],
    expected: Mapping[str, torch.Size],
    rules: Sequence[Rule],
    *,
    model_name: str,
) -> KeyMatch:
    """Finds the original tensor of every parameter and persistent buffer of a model.

    Args:
        state_dict: Original names to tensors. Only their shapes are looked at.
        expected: Our names to shapes.
        rules: The table, first match wins.
        model_name: What the error message calls the model.

    Raises:
        ConversionError: If a key is missing or unexpected, or a shape differs; lists the keys, with expected and
            found shapes.
    """
    sources: dict[str, str] = {}
    report: dict[str, str] = {}
    unexpected: list[str] = []
    mismatched: list[str] = []
    for key, tensor in state_dict.items():
        name = rename_key(key, rules)
        if name is not None and name.startswith("dropped: "):
            report[key] = name
        elif name is None or name not in expected:
            unexpected.append(f"{shown(key)} {list(tensor.shape)}")
        elif name in sources:
            unexpected.append(f"{shown(key)} {list(tensor.shape)} (the same weight as {shown(sources[name])})")
        else:
            report[key], sources[name] = name, key
            if tensor.shape != expected[name]:
                mismatched.append(f"{shown(key)}: expected {list(expected[name])}, found {list(tensor.shape)}")
    missing = [
        f"{original_name(name, rules) or name} {list(shape)}"
        for name, shape in expected.items()
        if name not in sources
    ]
    if missing or unexpected or mismatched:
        sections = [
            _section("missing", missing),
            _section("unexpected", unexpected),
            _section("wrong shape", mismatched),
        ]
        raise ConversionError(
            f"The weights do not fit the configuration of this {model_name}.\n" + "\n".join(filter(None, sections))
        )
    return KeyMatch(sources=sources, report=report)


def _section(title: str, lines: Sequence[str]) -> str:
    if not lines:
        return ""
    shown = [f"  {line}" for line in lines[:MAX_KEYS_SHOWN]]
    if len(lines) > MAX_KEYS_SHOWN:
        shown.append(f"  ... and {len(lines) - MAX_KEYS_SHOWN} more")
    return "\n".join([f"{title} ({len(lines)}):", *shown])


def _read(template: str, name: str) -> dict[str, str] | None:
    """Values of a template's placeholders in a name, offsets removed, or `None` if the name does not fit."""
    match = _pattern(template).fullmatch(name)
    if match is None:
        return None
    values = match.groupdict()
    for placeholder in _PLACEHOLDER.finditer(template):
        if placeholder["offset"]:
            number = int(values[placeholder["name"]]) - int(placeholder["offset"])
            if number < 0:
                return None
            values[placeholder["name"]] = str(number)
    return values


@cache
def _pattern(template: str) -> re.Pattern[str]:
    """A template as a regular expression; every template is asked about every key, so it is made only once."""
    pattern, position = "", 0
    for placeholder in _PLACEHOLDER.finditer(template):
        kind = ".+" if placeholder["name"] == _ANYTHING else _NUMBER
        pattern += re.escape(template[position : placeholder.start()]) + f"(?P<{placeholder['name']}>{kind})"
        position = placeholder.end()
    return re.compile(pattern + re.escape(template[position:]))


def _write(template: str, values: Mapping[str, str]) -> str:
    def value(placeholder: re.Match[str]) -> str:
        text = values[placeholder["name"]]
        return str(int(text) + int(placeholder["offset"])) if placeholder["offset"] else text

    return _PLACEHOLDER.sub(value, template)


__all__ = ["KeyMatch", "Rule", "drop", "match_keys", "original_name", "rename", "rename_key", "size_along", "under"]
