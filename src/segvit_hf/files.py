"""Files and folders that appear under their names only when they are complete.

What is being written to DIR/NAME lies in a hidden folder `DIR/.NAME.<eight characters>.tmp`, together with a lock that
its process holds, and, while a new folder takes the place of an old one, with the old one as `NAME.old`. So whoever
comes later can tell what a process that was killed has left behind, and put the old folder back.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows: nobody can tell whose leftovers they are, and they stay
    fcntl = None  # type: ignore[assignment]

_LOCK = "segvit_hf.lock"
# What `tempfile.mkdtemp` adds to a name.
_RANDOM = r"[a-z0-9_]{8}"
# File systems allow 255 bytes for a name; those of the hidden folder are longer than the target's.
_LONGEST_STEM = 200


@contextmanager
def atomic_path(path: str | Path, *, replaces: Callable[[str], bool] | None = None) -> Iterator[Path]:
    """A path to write a file or a folder to, which takes the place of `path` when the block succeeds.

    Whoever looks at `path` sees what was there before, or all of what is new: never a part of it. An exception in the
    block, also an interrupt, removes what was written and leaves `path` as it was. After a process was killed, the
    next `atomic_path` or `recover` for the same path puts an old folder back and removes what is left over. The path
    that is given does not exist yet, lies on the same file system and has the same suffix, so that programs that
    choose a format by it choose the right one.

    Args:
        path: The target; its parent folders are made. A file replaces a file, a folder replaces a folder as a whole.
        replaces: For a folder that replaces a folder: by the name of an entry of the old one, whether it belongs to
            what is replaced. All other entries are in the new folder too, unless it has its own of that name.

    Raises:
        FileNotFoundError: The block wrote nothing.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _recover(path, _known_leftovers(path.parent))
    place, lock = _claim_place(path)
    try:
        unfinished = place / path.name
        yield unfinished
        if not unfinished.exists():
            raise FileNotFoundError(f"{path}: nothing was written to {unfinished}.")
        _apply_umask(unfinished)
        if replaces is not None and path.is_dir():
            _carry_over(path, unfinished, replaces)
        _replace(unfinished, path, aside=_aside(place, path))
    finally:
        lock.close()
        _clear(place, path)


def write_text(path: str | Path, text: str) -> None:
    """Writes a UTF-8 text file; missing folders are made."""
    with atomic_path(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def recover(path: str | Path) -> None:
    """Clears up what killed processes left of writing `path`: puts an old folder back, removes unfinished copies.

    `atomic_path` does it by itself; this is for who wants to read `path`, or to know whether it exists.
    """
    path = Path(path)
    if path.parent.is_dir():
        _recover(path, _leftovers(path.parent))


def _recover(path: Path, leftovers: tuple[str, ...]) -> None:
    if fcntl is None:
        return
    pattern = re.compile(re.escape(_hidden_prefix(path)) + _RANDOM + r"\.tmp")
    for name in filter(pattern.fullmatch, leftovers):
        lock = _try_lock(path.parent / name)
        if lock is not None:
            _clear(path.parent / name, path)
            lock.close()


def _leftovers(folder: Path) -> tuple[str, ...]:
    pattern = re.compile(rf"\..+\.{_RANDOM}\.tmp")
    try:
        with os.scandir(folder) as entries:
            return tuple(e.name for e in entries if pattern.fullmatch(e.name) and e.is_dir(follow_symlinks=False))
    except OSError:  # a folder that may be written to but not listed
        return ()


# Thousands of files may be written to one folder: it is not searched for each of them.
_known_leftovers = lru_cache(maxsize=64)(_leftovers)


def _hidden_prefix(path: Path) -> str:
    return f".{_stem(path)}."


def _stem(path: Path) -> str:
    encoded = os.fsencode(path.name)
    if len(encoded) <= _LONGEST_STEM:
        return path.name
    return f"{path.name[:40]}-{sha256(encoded).hexdigest()[:16]}"


def _aside(place: Path, path: Path) -> Path:
    return place / f"{_stem(path)}.old"


def _claim_place(path: Path) -> tuple[Path, IO[bytes]]:
    """A new hidden folder beside `path`, and its lock, which ends with the process."""
    while True:
        place = Path(tempfile.mkdtemp(prefix=_hidden_prefix(path), suffix=".tmp", dir=path.parent))
        lock = _try_lock(place)
        if lock is not None:
            return place, lock


def _try_lock(place: Path) -> IO[bytes] | None:
    """The lock of a hidden folder, or `None` if a living process holds it or has just removed the folder."""
    try:
        lock = (place / _LOCK).open("ab")
    except OSError:
        return None
    if fcntl is None:
        return lock
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock.fileno()), os.stat(place / _LOCK)):
            return lock
    except OSError:
        pass
    lock.close()
    return None


def _clear(place: Path, path: Path) -> None:
    """Removes a hidden folder; if the old target is in it and nothing has taken its place, that goes back first."""
    aside = _aside(place, path)
    if os.path.lexists(aside):
        # Once it is replaced it goes by another name: the removal may be cut off half-way.
        to = aside.with_suffix(".replaced") if os.path.lexists(path) else path
        with suppress(FileNotFoundError):  # another process is clearing up, too
            aside.rename(to)
    shutil.rmtree(place, ignore_errors=True)


def _replace(new: Path, target: Path, aside: Path) -> None:
    if not target.is_dir():
        new.replace(target)
        return
    # No system call exchanges two folders everywhere: the old one steps aside. If the new one does not take its place,
    # `_clear` puts it back.
    target.rename(aside)
    new.rename(target)


def _carry_over(old: Path, new: Path, replaces: Callable[[str], bool]) -> None:
    """Gives the new folder what it does not replace, as further names of the same files: the old one stays whole."""
    for entry in old.iterdir():
        target = new / entry.name
        if replaces(entry.name) or os.path.lexists(target):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.copytree(entry, target, symlinks=True, copy_function=_link)
        else:
            _link(entry, target)


def _link(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except (OSError, NotImplementedError):  # the file system has no hard links
        shutil.copy2(source, target, follow_symlinks=False)


def _apply_umask(path: Path) -> None:
    """The permissions that `open` and `mkdir` give: safetensors and tempfile make what only its owner reads."""
    umask = os.umask(0)
    os.umask(umask)
    for entry in [path, *path.rglob("*")] if path.is_dir() else [path]:
        with suppress(FileNotFoundError):  # a link that leads nowhere
            entry.chmod((0o777 if entry.is_dir() else 0o666) & ~umask)


__all__ = ["atomic_path", "recover", "write_text"]
