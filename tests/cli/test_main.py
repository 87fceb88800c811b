"""The entry of `segvit-hf`: commands are imported when asked for, exit statuses, messages."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from segvit_hf import __version__
from segvit_hf.cli import main as program

REAL_COMMANDS = dict(program.COMMANDS)
COMMAND = r"""
import errno, os, signal, time
from huggingface_hub.errors import StrictDataclassFieldValidationError
from safetensors import SafetensorError

def add_arguments(parser):
    parser.add_argument("name")
    parser.set_defaults(run=run)

def run(arguments):
    if arguments.name == "nobody":
        raise ValueError("expected a name, found nobody")
    if arguments.name == "stop":
        raise KeyboardInterrupt
    if arguments.name == "screen":
        raise ValueError("found \x1b[2J\x07\nin two lines")
    if arguments.name == "memory":
        raise MemoryError
    if arguments.name == "depth":
        raise RecursionError("maximum recursion depth exceeded")
    if arguments.name == "disk":
        raise OSError(errno.ENOSPC, "No space left on device", "a.txt")
    if arguments.name == "weights":
        raise SafetensorError("header too large")
    if arguments.name == "field":
        raise StrictDataclassFieldValidationError("width", ValueError("x"))
    if arguments.name == "stop inside":
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        except KeyboardInterrupt as error:
            raise SystemError("a library was interrupted") from error
    if arguments.name == "bug":
        raise KeyError("bug")
    print("hello", arguments.name)
    return 0
"""


@pytest.fixture(autouse=True)
def _one_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "greeting_command.py").write_text(COMMAND)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(program, "COMMANDS", {"greet": ("greeting_command", "say hello")})


def test_a_command_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["greet", "world"]) == 0
    assert capsys.readouterr().out == "hello world\n"


def test_errors_are_one_message_without_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["greet", "nobody"]) == 1
    assert capsys.readouterr().err == "segvit-hf: expected a name, found nobody\n"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("screen", "segvit-hf: found \\x1b[2J\\x07\nin two lines\n"),
        ("memory", "segvit-hf: there is not enough memory.\n"),
        ("depth", "segvit-hf: something in the input is nested too deep.\n"),
        ("disk", "segvit-hf: the disk is full ([Errno 28] No space left on device: 'a.txt').\n"),
        ("weights", "segvit-hf: header too large\n"),
    ],
)
def test_what_libraries_and_the_machine_raise_is_one_message(
    name: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main(["greet", name]) == 1
    assert capsys.readouterr().err == message


def test_a_field_that_a_configuration_refuses_is_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["greet", "field"]) == 1
    assert "Validation error for field 'width'" in capsys.readouterr().err


def test_the_traceback_is_shown_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--traceback", "greet", "nobody"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_programming_errors_are_not_hidden() -> None:
    with pytest.raises(KeyError):
        program.main(["greet", "bug"])


def test_an_interrupt_exits_with_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["greet", "stop"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_an_interrupt_that_a_library_turns_into_an_error_is_one_too(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGINT)
    assert program.main(["greet", "stop inside"]) == 130
    assert capsys.readouterr().err == "segvit-hf: interrupted\n"
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("words", [["greet"], ["greet", "a", "b"], ["unknown"], ["--unknown"]])
def test_wrong_usage_exits_with_2(words: list[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        program.main(words)
    assert exit_.value.code == 2


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main([]) == 2
    assert "say hello" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        program.main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"segvit-hf {__version__}\n"


def test_only_the_module_of_the_command_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(program.COMMANDS, "broken", ("a_module_that_is_missing", "cannot be imported"))
    assert program.main(["greet", "world"]) == 0
    with pytest.raises(ModuleNotFoundError):
        program.main(["broken"])


@pytest.mark.parametrize("name", REAL_COMMANDS)
def test_every_command_explains_itself(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(program, "COMMANDS", REAL_COMMANDS)
    with pytest.raises(SystemExit) as exit_:
        program.main([name, "--help"])
    assert exit_.value.code == 0
    output = capsys.readouterr().out
    assert output.startswith(f"usage: segvit-hf {name} ")
    assert "--" in output


def test_it_runs_as_a_module() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "segvit_hf.cli", "--version"],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(Path(program.__file__).parents[2])},
    )
    assert result.returncode == 0
    assert result.stdout.strip() == f"segvit-hf {__version__}"
