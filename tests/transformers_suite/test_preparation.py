"""Without a package index, transformers' common tests are unavailable, and the reason is told."""

import os
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.transformers_suite import prepare


@pytest.fixture
def _no_package_index(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")


@pytest.mark.usefixtures("_no_package_index")
def test_missing_source_distribution_is_an_error_that_names_the_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "CACHE", tmp_path)

    with pytest.raises(
        prepare.SuiteUnavailableError, match=f"transformers {version('transformers')}, which pip could"
    ):
        prepare.prepare()

    assert [path.suffix for path in tmp_path.iterdir()] in ([".lock"], [])
