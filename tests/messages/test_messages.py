"""Text of unknown origin in messages: on one line, cut, and without characters that command a terminal."""

from typing import Any

import pytest

from segvit_hf.messages import listed, printable, quoted, shown


def test_what_is_printable_stays() -> None:
    assert printable("Straße 通り, a b!") == "Straße 通り, a b!"


@pytest.mark.parametrize(
    ("character", "escaped"),
    [
        ("\x1b", r"\x1b"),
        ("\n", r"\n"),
        ("\x9b", r"\x9b"),
        ("\u202e", r"\u202e"),
        ("\u2028", r"\u2028"),
        ("\0", r"\x00"),
    ],
)
def test_other_characters_are_escaped(character: str, escaped: str) -> None:
    assert printable(f"a{character}b") == f"a{escaped}b"
    assert shown(f"a{character}b") == f"a{escaped}b"
    assert quoted(f"a{character}b") == f"'a{escaped}b'"


def test_line_ends_may_be_kept() -> None:
    assert printable("a\nb\x1b", keep="\n") == "a\nb\\x1b"


def test_a_lone_surrogate_is_escaped() -> None:
    assert printable("\ud800") == r"\ud800"


@pytest.mark.parametrize("value", ["x" * 10**6, ["x"] * 10**5, b"x" * 10**6, "\x1b" * 10**6])
def test_long_values_are_cut(value: Any) -> None:
    for text in (shown(value, longest=50), quoted(value, longest=50)):
        assert len(text) == 53
        assert text.endswith("...")


def test_values_that_python_cannot_show_are_named_by_their_type() -> None:
    nested: list[Any] = []
    for _ in range(10_000):
        nested = [nested]
    assert quoted(nested) == "a value of type list that is too large to show"
    assert quoted(10**10_000) == "a value of type int that is too large to show"


def test_lists_are_cut_and_counted() -> None:
    assert listed(["a", 1, "b\n"]) == r"a, 1, b\n"
    assert listed(range(100), most=2) == "0, 1 ... and 98 more"
    assert listed([]) == ""
