"""Make `tests_common` importable for the modules `*_suite.py`, or skip them all where it cannot be had."""

import re
import sys
from functools import lru_cache
from pathlib import Path

import pytest
from transformers import testing_utils

from tests.transformers_suite.prepare import SuiteUnavailableError, prepare


@lru_cache(maxsize=1)
def reason_to_skip(config: pytest.Config) -> str | None:
    """Put the suite on `sys.path` and declare its markers; return why it is not there, if it is not."""
    try:
        folder = prepare()
    except SuiteUnavailableError as error:
        return str(error)
    sys.path.append(str(folder))
    sources = [*folder.glob("tests_common/test_*_common.py"), Path(testing_utils.__file__)]
    markers = {name for path in sources for name in re.findall(r"\bmark\.(\w+)", path.read_text(encoding="utf-8"))}
    for marker in sorted(markers):
        config.addinivalue_line("markers", f"{marker}: of transformers' common tests")
    return None


class SkippedModule(pytest.Module):
    """A test module that is skipped before it is imported: its imports would fail."""

    def collect(self) -> list[pytest.Item | pytest.Collector]:
        pytest.skip(reason_to_skip(self.config) or "", allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    if not module_path.stem.endswith("_suite") or reason_to_skip(parent.config) is None:
        return None
    return SkippedModule.from_parent(parent, path=module_path)
