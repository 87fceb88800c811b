"""The filled weights and inputs are those that the reference outputs were computed from."""

import json
from typing import Any

import numpy as np
import pytest

from tests import deterministic_fill
from tests.reference import FIXTURES

RECORDED: dict[str, Any] = json.loads((FIXTURES / "deterministic_fill.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("record", RECORDED["weights"], ids=lambda record: record["name"])
def test_weights_equal_the_recorded_ones(record: dict[str, Any]) -> None:
    values = deterministic_fill.filled_weight(record["name"], tuple(record["shape"]), record["seed"])

    assert values.dtype == np.float32
    assert values.shape == tuple(record["shape"])
    assert values.ravel().tolist() == record["values"]


def test_pixel_values_equal_the_recorded_ones() -> None:
    record = RECORDED["pixel_values"]

    values = deterministic_fill.pixel_values(tuple(record["shape"]), record["seed"])

    assert values.dtype == np.float32
    assert values.ravel().tolist() == record["values"]


def test_label_map_repeats_the_recorded_blocks() -> None:
    record = RECORDED["label_map"]

    labels = deterministic_fill.label_map(
        tuple(record["shape"]), record["num_labels"], record["ignore_index"], record["seed"]
    )

    assert labels.dtype == np.int64
    assert labels.shape == tuple(record["shape"])
    assert labels[:, ::8, ::8].tolist() == record["blocks"]
    assert (labels[:, :8, :8] == labels[:, :1, :1]).all()
