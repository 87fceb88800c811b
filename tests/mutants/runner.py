"""Plants one bug after the other in a copy of the repository, and runs the tests that must notice it.

Nothing is changed in the repository itself, so nothing has to be put back, whatever happens.
"""

import importlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
_LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv*", ".cache", ".*_cache", "__pycache__", "*.egg-info", "build", "dist", "outputs"
)
# What most tests import first, and no mutant touches: imported once, every run is forked.
_SLOW_IMPORTS = ("torch", "torchvision", "timm", "transformers.modeling_utils", "datasets", "evaluate", "accelerate")
_PASSED, _FAILED, _INTERRUPTED = 0, 1, 2  # pytest's exit statuses; a test file that cannot be imported is the third


@dataclass(frozen=True)
class Mutant:
    """A one-line bug.

    Attributes:
        name: What the bug does, in words.
        file: The file, below the repository.
        old: What stands there, once.
        new: What the bug makes of it.
        tests: Files or node ids of the tests that must fail.
    """

    name: str
    file: str
    old: str
    new: str
    tests: list[str]

    def problem(self, repository: Path) -> str | None:
        """Why the bug cannot be planted: the table is older than the code."""
        path = repository / self.file
        count = path.read_text(encoding="utf-8").count(self.old) if path.is_file() else None
        missing = [test for test in self.tests if not (repository / test.split("::")[0]).exists()]
        if count is None:
            return f"{self.file}: no such file"
        if count != 1:
            return f"{self.file}: expected {self.old!r} once, found it {count} times"
        if self.old == self.new or not self.tests or missing:
            return f"expected a change, and tests that exist, found {missing or self.tests}"
        return None


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant: `status` is "killed", "survived" or, where the tests did not run, "void"."""

    mutant: Mutant
    status: str
    seconds: float
    remark: str = ""


def read_tables(parts: Sequence[str] = ()) -> list[Mutant]:
    """The mutants of the tables in this folder, or of some of them, by their files' names."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py"))
    tables = {name: importlib.import_module(f"tests.mutants.{name}") for name in names if name not in _NO_TABLES}
    unknown = set(parts) - set(tables)
    if unknown:
        raise ValueError(f"{', '.join(sorted(unknown))}: expected some of {', '.join(tables)}.")
    return [Mutant(*row) for name, table in tables.items() if not parts or name in parts for row in table.MUTANTS]


_NO_TABLES = {"__init__", "__main__", "runner", "test_tables", "test_runner"}


def import_slowly() -> None:
    """Imports what all tests import, before the first run is forked."""
    for name in _SLOW_IMPORTS:
        importlib.import_module(name)


@contextmanager
def copied(repository: Path) -> Iterator[Path]:
    """A copy of a repository without environments, caches and history, for the time of the block."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Path(folder) / "repository"
        shutil.copytree(repository, copy, symlinks=True, ignore=_LEFT_OUT)
        yield copy


def run_mutant(mutant: Mutant, copy: Path, timeout: float) -> Outcome:
    """Plants a bug in the copy, runs its tests, and removes it again."""
    started = time.monotonic()
    problem = mutant.problem(copy)
    if problem is not None:
        return Outcome(mutant, "void", 0.0, problem)
    path = copy / mutant.file
    content = path.read_text(encoding="utf-8")
    path.write_text(content.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        status = run_tests(mutant.tests, copy, timeout)
    finally:
        path.write_text(content, encoding="utf-8")
    seconds = time.monotonic() - started
    if status is None:
        return Outcome(mutant, "killed", seconds, f"no end within {timeout:g} s")
    if status in (_FAILED, _INTERRUPTED):
        return Outcome(mutant, "killed", seconds)
    if status == _PASSED:
        return Outcome(mutant, "survived", seconds, " ".join(mutant.tests))
    return Outcome(mutant, "void", seconds, f"pytest ended with {status}: {what_failed(copy)}")


def run_tests(tests: Sequence[str], copy: Path, timeout: float) -> int | None:
    """pytest's exit status for some tests of the copy, in a process of its own; `None` if they did not end in time."""
    process = os.fork()
    if process == 0:
        _become_pytest(tests, copy)
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.killpg(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return None


def what_failed(copy: Path) -> str:
    """What pytest printed of the test that failed, or the last line of what it printed."""
    lines = _output(copy).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    failed = [line for line in lines if line.startswith(("FAILED ", "ERROR "))]
    return (failed or lines or ["nothing was printed"])[-1]


def _output(copy: Path) -> Path:
    return copy.parent / "output.txt"


def _become_pytest(tests: Sequence[str], copy: Path) -> None:
    """Never returns: the forked process sees the copy instead of the repository, and ends with pytest's status."""
    status = 70
    try:
        os.setsid()  # tests start processes, which have to end with this one
        os.chdir(copy)
        with _output(copy).open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        sys.dont_write_bytecode = True  # two bugs of one length within a second would be one to the cache
        os.environ.update(PYTHONDONTWRITEBYTECODE="1", PYTHONPATH=os.pathsep.join([str(copy / "src"), str(copy)]))
        sys.path[:] = [str(copy / "src"), str(copy), *_other_paths()]
        _redirect_editable_installation(copy)
        for name in [name for name in sys.modules if name.split(".")[0] in ("tests", "segvit_hf")]:
            del sys.modules[name]
        import pytest

        status = int(pytest.main(["-q", "-x", "-p", "no:cacheprovider", f"--rootdir={copy}", *tests]))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _redirect_editable_installation(copy: Path) -> None:
    """Packages that lie beside `src` (presets, recipes) are found by an import hook with paths of its own."""
    for name, module in sys.modules.items():
        if name.startswith("__editable___segvit_hf"):
            for package, path in module.MAPPING.items():
                module.MAPPING[package] = str(copy / Path(path).relative_to(REPOSITORY))


def _other_paths() -> list[str]:
    own = {REPOSITORY, REPOSITORY / "src", Path.cwd()}
    return [path for path in sys.path if path and Path(path).resolve() not in own]


__all__ = ["Mutant", "Outcome", "copied", "import_slowly", "what_failed", "read_tables", "run_mutant", "run_tests"]
