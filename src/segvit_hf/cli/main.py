"""The entry of `segvit-hf`: a table of commands, each in a module that is imported when it is asked for."""

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module

from segvit_hf import __version__

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
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = build_parser(next((word for word in words if not word.startswith("-")), None))
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


__all__ = ["COMMANDS", "build_parser", "main"]


if __name__ == "__main__":
    sys.exit(main())
