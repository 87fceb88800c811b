"""A small part of the hostile inputs, each through the whole command; `python -m tests.hostile` tries all."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.hostile import bombs, configurations, damage, outputs, payloads, structures
from tests.hostile.__main__ import good_weights
from tests.hostile.cases import Case
from tests.hostile.harness import GOOD, try_case

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="the harness needs Linux")

_BOMB = 256 << 20
# Names of cases, or the beginning of them.
_CHOSEN = (
    "os.system, beside",
    "builtins.eval, meta",
    "numpy object array, weight",
    "STACK_GLOBAL, hand-made",
    "only STOP, hand-made",
    "two pickles of a name",
    "package of zeros, deflate",
    "package with a start of torch's, bz2",
    "data.pkl of lists",
    "a tuple nested 3,000,000 deep as a key",
    "a state dict that holds itself",
    "model nested 300,000 deep",
    "a deflated checkpoint",
    "YAML aliases in a size",
    "a million layers",
    "a weight with a screen in its name",
    "class names with a screen",
    "a screen beside the weights",
    "100,000 keys beside the weights",
    "a named pipe",
    "/dev/zero",
    "all int8",
    "one NaN",
    "sparse",
    "two names for one tensor",
    "one number as a tensor",
    "views of one tensor",
    "zip, 22 bytes less",
    "variant.yml net_kwargs.n_heads = -2",
    "JSON model.backbone.norm_cfg.eps = nan",
)


def chosen() -> Iterator[Case]:
    parts = [payloads.cases(), bombs.cases(_BOMB), structures.cases(), damage.cases(), configurations.cases()]
    for case in (case for cases in parts for case in cases):
        if case.name in _CHOSEN:
            yield case
    yield from outputs.cases()


CASES = list(chosen())


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    return good_weights(tmp_path_factory.mktemp("hostile") / "good")


def test_every_chosen_case_exists() -> None:
    assert set(_CHOSEN) <= {case.name for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_hostile_input_ends_as_it_should(case: Case, good: dict[str, torch.Tensor], tmp_path: Path) -> None:
    outcome = try_case(case, tmp_path / "case", good)
    assert outcome.kind in GOOD, outcome
    assert outcome.peak < 600e6, outcome
