"""The tables of bugs follow the code, and the runner tells a bug that is noticed from one that is not."""

from pathlib import Path

import pytest

from tests.mutants.runner import REPOSITORY, Mutant, copied, read_tables, run_mutant

MUTANTS = read_tables()


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_every_bug_can_be_planted(mutant: Mutant) -> None:
    assert mutant.problem(REPOSITORY) is None


def test_names_tell_the_bugs_apart() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 100


@pytest.mark.parametrize(
    ("new", "status"),
    [
        ("return a - b", "killed"),
        ("return b + a", "survived"),
        ("return (", "killed"),
        ("while True: pass", "killed"),
        ("return a + b", "void"),
    ],
)
def test_a_bug_is_killed_or_survives(new: str, status: str, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "sums.py").write_text("def add(a, b):\n    return a + b\n")
    (tmp_path / "test_sums.py").write_text("from sums import add\n\ndef test_add():\n    assert add(1, 2) == 3\n")
    (tmp_path / "pyproject.toml").write_text('[tool.pytest.ini_options]\npythonpath = ["src"]\n')
    mutant = Mutant("sum", "src/sums.py", "return a + b", new, ["test_sums.py"])
    with copied(tmp_path) as copy:
        outcome = run_mutant(mutant, copy, timeout=5 if "while" in new else 120)
        assert (copy / "src" / "sums.py").read_text() == "def add(a, b):\n    return a + b\n"
    assert outcome.status == status, outcome.remark
    assert (tmp_path / "src" / "sums.py").read_text() == "def add(a, b):\n    return a + b\n"


def test_what_cannot_be_planted_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\nx = 1\n")
    assert "found it 2 times" in str(Mutant("m", "a.py", "x = 1", "x = 2", ["a.py"]).problem(tmp_path))
    assert "no such file" in str(Mutant("m", "b.py", "x = 1", "x = 2", ["a.py"]).problem(tmp_path))
    assert "tests that exist" in str(Mutant("m", "a.py", "1\nx", "2\nx", ["b.py"]).problem(tmp_path))
