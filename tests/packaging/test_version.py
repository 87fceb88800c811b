"""The version stands in `segvit_hf/__init__.py`; whatever else names it agrees."""

import re
from pathlib import Path

import yaml

import segvit_hf

PROJECT = Path(__file__).parents[2]


def test_the_citation_has_the_packages_version() -> None:
    citation = yaml.safe_load((PROJECT / "CITATION.cff").read_text(encoding="utf-8"))

    assert citation["version"] == segvit_hf.__version__


def test_the_changelog_starts_with_the_packages_version() -> None:
    headings = re.findall(r"^## \[(.+?)\] - (.+)$", (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)

    assert headings[0][0] == segvit_hf.__version__
