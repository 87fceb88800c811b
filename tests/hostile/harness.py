"""Tries one case in a process of its own and says what became of it."""

import contextlib
import os
import re
import resource
import select
import shutil
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file

from segvit_hf.cli.main import main
from tests.hostile.cases import Case
from tests.hostile.payloads import CANARY

OUTCOMES = ("refused cleanly", "accepted correctly", "traceback", "wrong", "no end", "executed")
GOOD = ("refused cleanly", "accepted correctly")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_MOST_LINES = 45


@dataclass(frozen=True)
class Outcome:
    """What became of a case.

    Attributes:
        kind: One of `OUTCOMES`.
        remark: What is wrong, or the end of the message.
        peak: Memory that the process took beyond what it began with, in bytes; the libraries' code that it ran
            included, about 200 MB.
        seconds: How long it ran.
    """

    kind: str
    remark: str
    peak: int
    seconds: float


def try_case(
    case: Case, folder: Path, good: dict[str, torch.Tensor], *, time_limit: float = 60.0, memory_limit: int = 8 << 30
) -> Outcome:
    """Writes the files of a case to an empty folder and converts them in a forked process.

    Args:
        case: The case.
        folder: Made, and removed afterwards.
        good: The weights of the good file's conversion.
        time_limit: Seconds until the process is ended.
        memory_limit: Bytes of address space that the process may have.
    """
    folder.mkdir(parents=True)
    try:
        words = case.write(folder)
        kept = {name: (folder / name).read_bytes() for name in case.kept}
        start = time.monotonic()
        status, peak = _run(words, folder / "output.txt", time_limit, memory_limit, case.largest_file)
        kind, remark = _judge(case, folder, status, words, kept, good)
        return Outcome(kind, remark, peak, time.monotonic() - start)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(
    words: list[str], output: Path, time_limit: float, memory_limit: int, largest_file: int | None
) -> tuple[int | None, int]:
    """The wait status (`None` if there was no end) and the peak of memory beyond the parent's."""
    before = _own_memory()
    process = os.fork()
    if process == 0:
        _child(words, output, memory_limit, largest_file)
    handle = os.pidfd_open(process)
    try:
        ended = bool(select.select([handle], [], [], time_limit)[0])
    finally:
        os.close(handle)
    if not ended:
        os.kill(process, signal.SIGKILL)
    _, status, usage = os.wait4(process, 0)
    return (status if ended else None), max(0, usage.ru_maxrss * 1024 - before)


def _child(words: list[str], output: Path, memory_limit: int, largest_file: int | None) -> None:
    status = 99
    try:
        with output.open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (_virtual() + memory_limit,) * 2)
        if largest_file is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
        status = main(["convert", *words])
    except SystemExit as exit_:
        status = exit_.code if isinstance(exit_.code, int) else 98
    except BaseException:
        with contextlib.suppress(BaseException):
            traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _judge(
    case: Case,
    folder: Path,
    status: int | None,
    words: list[str],
    kept: dict[str, bytes],
    good: dict[str, torch.Tensor],
) -> tuple[str, str]:
    text = (folder / "output.txt").read_text(errors="replace")
    end = " ".join(text.split())[-160:]
    if (folder / CANARY).exists():
        return "executed", end
    if status is None:
        return "no end", end
    if os.WIFSIGNALED(status):
        return "traceback", f"ended by signal {os.WTERMSIG(status)}"
    code = os.waitstatus_to_exitcode(status)
    if "Traceback" in text or code not in (0, 1, 2):
        return "traceback", end
    lost = [name for name, content in kept.items() if not _holds(folder / name, content)]
    if lost:
        return "wrong", f"lost {', '.join(lost)}"
    target = Path(words[words.index("--output") + 1])
    if code != 0:
        return _judge_refusal(case, folder, text, target, bool(kept))
    return _judge_acceptance(case, text, target, good)


def _holds(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


def _judge_refusal(case: Case, folder: Path, text: str, target: Path, has_target: bool) -> tuple[str, str]:
    end = " ".join(text.split())[-160:]
    left = [path.name for path in folder.rglob(".*")]
    if left or (folder in target.parents and not has_target and os.path.isfile(target / "config.json")):
        return "wrong", f"something was left behind: {', '.join(left) or target.name}"
    if "weights_only" in text:
        return "wrong", "advises to load without protection"
    if _CONTROL.search(text) or "\nsegvit-hf: all fine" in text:
        return "wrong", "control characters in the message"
    if text.count("\n") > _MOST_LINES or len(text) > 6000:
        return "wrong", f"a message of {len(text)} letters"
    return ("wrong" if case.expected == "accepted" else "refused cleanly"), end


def _judge_acceptance(case: Case, text: str, target: Path, good: dict[str, torch.Tensor]) -> tuple[str, str]:
    if case.expected == "refused":
        return "wrong", "accepted"
    if _CONTROL.search(text) or "\nsegvit-hf: all fine" in text or len(text) > 6000:
        return "wrong", "control characters or thousands of letters in what it says"
    found = load_file(target / "model.safetensors")
    if case.same_model and not _is_same(found, good):
        return "wrong", "other weights without a word"
    return "accepted correctly", ""


def _is_same(found: dict[str, torch.Tensor], good: dict[str, torch.Tensor]) -> bool:
    return found.keys() == good.keys() and all(torch.equal(found[name], good[name]) for name in good)


def _own_memory() -> int:
    """Bytes that this process fills; a forked one begins with them, and without the pages of files."""
    return _from_status("RssAnon")


def _virtual() -> int:
    return _from_status("VmSize")


def _from_status(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024
