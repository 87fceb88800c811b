"""Comparison of nested dictionaries and lists."""

from typing import Any


def assert_is_part_of(part: Any, whole: Any, where: str) -> None:
    """Assert that `whole` has every key of `part` with the same value, lists in full; `where` names it in errors."""
    if isinstance(part, dict):
        for key, value in part.items():
            assert key in whole, f"{where}.{key}"
            assert_is_part_of(value, whole[key], f"{where}.{key}")
    elif isinstance(part, (list, tuple)):
        assert len(part) == len(whole), where
        for index, (value, other) in enumerate(zip(part, whole, strict=True)):
            assert_is_part_of(value, other, f"{where}[{index}]")
    else:
        assert part == whole, where
