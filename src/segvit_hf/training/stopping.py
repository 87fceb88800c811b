"""Ends of a run before its last step: Ctrl-C, a sample that cannot be used, a disk that is full.

With several processes all of them must stop after the same step, or those that go on wait for ever for the others.
"""

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from safetensors import SafetensorError

from segvit_hf.messages import one_line

_NOTICE = b"\ninterrupted: stopping after this step with a checkpoint; Ctrl-C again stops at once\n"


class RunInterrupted(Exception):
    """Ctrl-C ended a run; the message says where it can go on."""


class WriteError(OSError):
    """A file or folder cannot be written; the message names it and the reason."""


class Reason(IntEnum):
    """Why a process wants to stop; with several processes the largest counts."""

    NONE = 0
    INTERRUPTED = 1
    UNUSABLE_SAMPLE = 2


class Agreement:
    """What all processes of a run have to know together.

    Args:
        accelerator: That of this process; all processes build one and call the methods together.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._alone = accelerator.num_processes == 1
        # On the CPU: a step must not wait for the device.
        self._group: Any = None if self._alone else torch.distributed.new_group(backend="gloo")

    def reason(self, mine: Reason) -> Reason:
        """The largest reason of all processes."""
        if self._alone:
            return mine
        value = torch.tensor(int(mine))
        torch.distributed.all_reduce(value, torch.distributed.ReduceOp.MAX, group=self._group)
        return Reason(int(value))


def first_message(mine: str | None, accelerator: Accelerator) -> str | None:
    """The message of the first process that has one (called by all of them)."""
    if accelerator.num_processes == 1:
        return mine
    return next((message for message in gather_object([mine]) if message is not None), None)


class Interrupts:
    """Ctrl-C as a wish, `asked`, for as long as the block lasts; the second one is a `KeyboardInterrupt` as usual."""

    def __init__(self) -> None:
        self.asked = False
        self._previous: Any = None

    def __enter__(self) -> "Interrupts":
        # Python lets only the main thread set handlers, and Ctrl-C arrives there; a background job ignores it.
        in_main_thread = threading.current_thread() is threading.main_thread()
        if in_main_thread and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            self._previous = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *exception: object) -> None:
        self._restore()

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True
        self._restore()
        if is_first_process():
            os.write(2, _NOTICE)  # no lock of a stream that the interrupted code may hold

    def _restore(self) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
            self._previous = None


def ignore_interrupts(_worker: int) -> None:
    """For loader processes, to which a terminal sends Ctrl-C, too: they end with the process that they work for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def is_first_process() -> bool:
    """Whether this is the process that reports, also before and after there is an accelerator."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def named_write_errors(path: Path) -> Iterator[None]:
    """Turns whatever a failing write raises (each library has its own) into one that names `path`.

    Raises:
        WriteError: The block could not write.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise WriteError(_write_message(path, error)) from error
    except RuntimeError as error:
        # torch.save reports a full disk as a broken assumption about its own file.
        if "inline_container" not in str(error) and "PytorchStreamWriter" not in str(error):
            raise
        raise WriteError(_write_message(path, error)) from error


def _write_message(path: Path, error: Exception) -> str:
    reason = getattr(error, "strerror", None) or one_line(error, longest=200)
    existing = next(folder for folder in [path, *path.absolute().parents] if folder.is_dir())
    return f"{path}: cannot be written: {reason} ({shutil.disk_usage(existing).free / 1e6:.0f} MB are free)."


__all__ = [
    "Agreement",
    "Interrupts",
    "Reason",
    "RunInterrupted",
    "WriteError",
    "first_message",
    "ignore_interrupts",
    "is_first_process",
    "named_write_errors",
]
