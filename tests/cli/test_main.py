"""The entry of `segvit-hf`: discovery of commands, exit statuses, messages."""

import argparse
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from segvit_hf import __version__
from segvit_hf.cli import main as program

COMMANDS = """
def add_parser(subparsers):
    parser = subparsers.add_parser("greet", help="say hello")
    parser.add_argument("name")
    parser.set_defaults(run=run)

def run(arguments):
    if arguments.name == "nobody":
        raise ValueError("expected a name, found nobody")
    if arguments.name == "stop":
        raise KeyboardInterrupt
    if arguments.name == "bug":
        raise KeyError("bug")
    print("hello", arguments.name)
    return 0
"""

Register = Callable[..., None]


@pytest.fixture
def register(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Register:
    """Registers `name="module:function"` as the only commands."""
    (tmp_path / "greeting_commands.py").write_text(COMMANDS)
    (tmp_path / "needs_a_package.py").write_text("import a_package_that_is_missing\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def register(**commands: str) -> None:
        found = [EntryPoint(name, value, program.COMMAND_GROUP) for name, value in commands.items()]

        def entry_points(group: str) -> list[EntryPoint]:
            assert group == "segvit_hf.commands"
            return found

        monkeypatch.setattr(program, "entry_points", entry_points)

    return register


GREET = "greeting_commands:add_parser"


def test_a_registered_command_runs(register: Register, capsys: pytest.CaptureFixture[str]) -> None:
    register(greet=GREET)
    assert program.main(["greet", "world"]) == 0
    assert capsys.readouterr().out == "hello world\n"


def test_errors_are_one_message_without_traceback(register: Register, capsys: pytest.CaptureFixture[str]) -> None:
    register(greet=GREET)
    assert program.main(["greet", "nobody"]) == 1
    assert capsys.readouterr().err == "segvit-hf: expected a name, found nobody\n"


def test_the_traceback_is_shown_when_asked_for(register: Register, capsys: pytest.CaptureFixture[str]) -> None:
    register(greet=GREET)
    assert program.main(["--traceback", "greet", "nobody"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_programming_errors_are_not_hidden(register: Register) -> None:
    register(greet=GREET)
    with pytest.raises(KeyError):
        program.main(["greet", "bug"])


def test_an_interrupt_exits_with_130(register: Register, capsys: pytest.CaptureFixture[str]) -> None:
    register(greet=GREET)
    assert program.main(["greet", "stop"]) == 130
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["greet"], ["greet", "a", "b"], ["unknown"], ["--unknown"]])
def test_wrong_usage_exits_with_2(register: Register, words: list[str]) -> None:
    register(greet=GREET)
    with pytest.raises(SystemExit) as exit_:
        program.main(words)
    assert exit_.value.code == 2


def test_no_command_shows_the_help(register: Register, capsys: pytest.CaptureFixture[str]) -> None:
    register(greet=GREET)
    assert program.main([]) == 2
    assert "say hello" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        program.main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"segvit-hf {__version__}\n"


@pytest.mark.parametrize("words", [["train"], ["train", "--lr", "1"]])
def test_a_command_whose_package_is_missing_says_which(
    register: Register, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    register(train="needs_a_package:add_parser", greet=GREET)
    assert program.main(words) == 1
    message = capsys.readouterr().err
    assert "`segvit-hf train` is not available" in message
    assert "'a_package_that_is_missing'" in message
    assert program.main(["greet", "world"]) == 0  # the others still work


def test_the_help_mentions_commands_that_are_not_available(
    register: Register, capsys: pytest.CaptureFixture[str]
) -> None:
    register(train="needs_a_package:add_parser")
    with pytest.raises(SystemExit):
        program.main(["--help"])
    assert "train: not available" in capsys.readouterr().out


def test_without_any_command_the_help_says_to_install(register: Register, capsys: pytest.CaptureFixture[str]) -> None:
    register()
    assert program.main([]) == 2
    assert "install the package first" in " ".join(capsys.readouterr().err.split())


def test_commands_are_functions_that_take_the_subparsers(register: Register) -> None:
    register(greet=GREET)
    parser, unavailable = program.build_parser()
    assert isinstance(parser, argparse.ArgumentParser)
    assert unavailable == {}
    arguments: Any = parser.parse_args(["greet", "you"])
    assert arguments.name == "you"


def test_it_runs_as_a_module() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "segvit_hf.cli", "--version"],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(Path(program.__file__).parents[2])},
    )
    assert result.returncode == 0
    assert result.stdout.strip() == f"segvit-hf {__version__}"
