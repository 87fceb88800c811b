"""The entry of `segvit-hf`: a table of commands, each in a module that is imported when it is asked for."""

import argparse
import errno
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import FrameType

from segvit_hf import __version__
from segvit_hf.messages import printable

# Name: (module, what the help says of it). A module has `add_arguments(parser)`, which also sets `run`, a function
# from the parsed arguments to the exit status.
COMMANDS = {
    "attention": ("segvit_hf.cli.attention", "draw what patches, class tokens and class embeddings attend to"),
    "convert": ("segvit_hf.cli.convert", "convert released weights (.pth) to the Hugging Face format"),
    "evaluate": ("segvit_hf.cli.evaluate", "measure mIoU of a saved model on labeled photos"),
    "predict": ("segvit_hf.cli.predict", "segment a photo, a folder of photos or a video"),
    "train": ("segvit_hf.cli.train", "fine-tune a model from a recipe"),
}
EXIT_OK = 0
EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs `segvit-hf`.

    Args:
        arguments: Words after the program's name; those of the process by default.

    Returns:
        0 when all went well, 1 after an error (its message is on stderr), 2 without a command, 130 when interrupted.

    Raises:
        SystemExit: With status 2 after wrong usage, and 0 after --help or --version, as argparse does.
    """
    interrupts: list[int] = []
    with _noting_interrupts(interrupts):
        try:
            return _run(list(sys.argv[1:] if arguments is None else arguments))
        except KeyboardInterrupt:
            return _report("interrupted", EXIT_INTERRUPTED)
        except BrokenPipeError:
            # The reader of our output went away (`| head`): say nothing, also not when Python flushes stdout at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return EXIT_ERROR
        except Exception:
            # Libraries turn an interrupt that meets them in the middle of something into errors of their own.
            if interrupts:
                return _report("interrupted", EXIT_INTERRUPTED)
            raise


def _run(words: Sequence[str]) -> int:
    parser = build_parser(next((word for word in words if not word.startswith("-")), None))
    parsed = parser.parse_args(words)
    if not hasattr(parsed, "run"):
        parser.print_help(sys.stderr)
        return EXIT_USAGE
    try:
        return parsed.run(parsed)
    except BrokenPipeError:
        raise
    except Exception as error:
        message = failure_message(error)
        if message is None:
            raise
        if parsed.traceback:
            traceback.print_exc()
        return _report(message)


def failure_message(error: Exception) -> str | None:
    """What a user is told of a failure: the one place where an error becomes a message.

    Args:
        error: Whatever a command raised.

    Returns:
        One or more lines without control characters; `None` for an error of this program, whose traceback is wanted.
    """
    if isinstance(error, MemoryError):
        return "there is not enough memory."
    if isinstance(error, RecursionError):
        return "something in the input is nested too deep."
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return printable(f"the disk is full ({error}).")
    if isinstance(error, (ValueError, OSError)) or _is_of_a_library(error):
        return printable(str(error), keep="\n") or type(error).__name__
    return None


def _is_of_a_library(error: Exception) -> bool:
    """Whether a library refuses its input with an error that is neither a `ValueError` nor an `OSError`."""
    from huggingface_hub.errors import StrictDataclassError  # here: a command that fails has imported both already
    from safetensors import SafetensorError

    return isinstance(error, (SafetensorError, StrictDataclassError))


@contextmanager
def _noting_interrupts(interrupts: list[int]) -> Iterator[None]:
    """Ctrl-C raises `KeyboardInterrupt` as always, and is noted."""
    in_charge = threading.current_thread() is threading.main_thread()
    if not in_charge or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return

    def note(number: int, frame: FrameType | None) -> None:
        interrupts.append(number)
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def build_parser(command: str | None) -> argparse.ArgumentParser:
    """The parser: all commands by name, and the arguments of `command`, whose module alone is imported."""
    parser = argparse.ArgumentParser(
        prog="segvit-hf", description="Plain-ViT semantic segmentation for Hugging Face transformers."
    )
    parser.add_argument("--version", action="version", version=f"segvit-hf {__version__}")
    parser.add_argument("--traceback", action="store_true", help="show where in the program an error arose")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name, (module, description) in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=description, formatter_class=argparse.RawDescriptionHelpFormatter)
        if name == command:
            import_module(module).add_arguments(subparser)
    return parser


def _report(message: str, status: int = EXIT_ERROR) -> int:
    print(f"segvit-hf: {message}", file=sys.stderr)
    return status


__all__ = ["COMMANDS", "build_parser", "failure_message", "main"]


if __name__ == "__main__":
    sys.exit(main())
