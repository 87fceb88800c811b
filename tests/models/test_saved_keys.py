"""Saved folders keep loading: every small model has the parameter names that it has always had.

`saved_keys.json` holds them as patterns: a number stands as `*`, and names that differ in numbers only are counted.
"""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.models.architectures import SMALL_MODELS

RECORDED = json.loads((Path(__file__).parent / "saved_keys.json").read_text())


@pytest.mark.parametrize("name", SMALL_MODELS)
def test_parameter_names_are_those_that_were_saved(name: str) -> None:
    keys = SMALL_MODELS[name].build().state_dict()
    assert Counter(re.sub(r"(?<=\.)\d+(?=\.)", "*", key) for key in keys) == RECORDED[name]


def test_every_recorded_model_is_still_there() -> None:
    assert set(RECORDED) <= set(SMALL_MODELS)
