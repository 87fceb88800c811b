"""
The entry of `segvit-hf`.

Subcommands come from the entry-point group `segvit_hf.commands`: each is a function `add_parser(subparsers)` that
calls `set_defaults(run=...)` with a function from the parsed arguments to the exit status. This file knows none of
them, so that the library does not depend on the packages that provide them.
"""

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points

from segvit_hf import __version__

COMMAND_GROUP = "segvit_hf.commands"
EXIT_OK = 0
EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Runs `segvit-hf`.

    Args:
        arguments: Words after the program's name; those of the process by default.

    Returns:
        0 when all went well, 1 after an error (its message is on stderr), 130 when interrupted.

    Raises:
        SystemExit: With status 2 after wrong usage, and 0 after --help or --version, as argparse does.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser, unavailable = build_parser()
    command = next((word for word in words if not word.startswith("-")), None)
    if command in unavailable:
        return _report(f"`segvit-hf {command}` is not available: {unavailable[command]}")
    parsed = parser.parse_args(words)
    if not hasattr(parsed, "run"):
        parser.print_help(sys.stderr)
        return EXIT_USAGE
    try:
        return parsed.run(parsed)
    except KeyboardInterrupt:
        return _report("interrupted", EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output went away (`| head`): say nothing, also not when Python flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ERROR
    except (ValueError, OSError) as error:
        if parsed.traceback:
            traceback.print_exc()
        return _report(str(error) or type(error).__name__)


def build_parser() -> tuple[argparse.ArgumentParser, dict[str, str]]:
    """The parser with every subcommand that can be imported, and for each other one the reason why it cannot."""
    parser = argparse.ArgumentParser(
        prog="segvit-hf", description="Plain-ViT semantic segmentation for Hugging Face transformers."
    )
    parser.add_argument("--version", action="version", version=f"segvit-hf {__version__}")
    parser.add_argument("--traceback", action="store_true", help="show where in the program an error arose")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND")
    unavailable: dict[str, str] = {}
    for entry_point in _commands():
        try:
            entry_point.load()(subparsers)
        except ImportError as error:
            unavailable[entry_point.name] = _explain(entry_point, error)
    notes = [f"{name}: not available, {reason}" for name, reason in unavailable.items()]
    if not subparsers.choices and not unavailable:
        notes.append("No commands are registered: install the package first (pip install segvit-hf, or pip install .)")
    parser.epilog = "; ".join(notes) or None
    return parser, unavailable


def _commands() -> list[EntryPoint]:
    # The same distribution may be found twice (an installed copy and a source tree): one command each.
    found = {entry_point.name: entry_point for entry_point in entry_points(group=COMMAND_GROUP)}
    return [found[name] for name in sorted(found)]


def _explain(entry_point: EntryPoint, error: ImportError) -> str:
    package = error.name or str(error)
    return f"it needs the package {package!r}, which cannot be imported (for {entry_point.value}: {error})"


def _report(message: str, status: int = EXIT_ERROR) -> int:
    print(f"segvit-hf: {message}", file=sys.stderr)
    return status


__all__ = ["COMMAND_GROUP", "build_parser", "main"]


if __name__ == "__main__":
    sys.exit(main())
