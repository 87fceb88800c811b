"""The lowest versions that `make test-lowest` installs are those of pyproject.toml."""

import runpy
from collections.abc import Callable, Iterable
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = Path(__file__).parents[2]
WITHOUT_LOWEST_VERSION = {"types-PyYAML", "types-tqdm"}  # they follow mypy, not us


def _lowest_versions() -> Callable[[Iterable[str]], list[str]]:
    return runpy.run_path(str(PROJECT / ".ci" / "lowest_versions.py"))["lowest_versions"]


def test_a_lower_bound_becomes_a_pinned_version() -> None:
    requirements = ["transformers<6,>=5.18", 'av>=14.2; extra == "video"', 'av>=14.2; extra == "dev"', "types-tqdm"]

    assert _lowest_versions()(requirements) == ["av==14.2", "transformers==5.18"]


def test_every_requirement_has_one_lowest_version() -> None:
    requirements = requires("segvit-hf") or []
    pinned = [line.partition("==")[0] for line in _lowest_versions()(requirements)]

    assert len(set(pinned)) == len(pinned)
    assert {Requirement(line).name for line in requirements} - set(pinned) == WITHOUT_LOWEST_VERSION
