"""Class names in the order of their ids, whatever kind of keys a configuration has."""

from types import SimpleNamespace

import pytest

from segvit_hf import SegmenterConfig
from segvit_hf.data.class_names import class_names


@pytest.mark.parametrize("id2label", [{10: "sky", 2: 7}, {"10": "sky", "2": "7"}])
def test_names_are_sorted_by_their_numbers(id2label: dict) -> None:
    assert list(class_names(SimpleNamespace(id2label=id2label)).items()) == [(2, "7"), (10, "sky")]


def test_a_configuration_and_none() -> None:
    assert class_names(SegmenterConfig(id2label={0: "sky", 1: "road"})) == {0: "sky", 1: "road"}
    assert class_names(SimpleNamespace(id2label=None)) == class_names(SimpleNamespace()) == {}
