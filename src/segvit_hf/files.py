"""Files and folders that appear under their names only when they are complete."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A path to write a file or a folder to, which takes the place of `path` when the block succeeds.

    Whoever looks at `path` sees what was there before, or all of what is new: never a part of it. An exception in the
    block removes what was written and leaves `path` as it was. The path that is given does not exist yet, lies on the
    same file system and has the same suffix, so that programs that choose a format by it choose the right one.

    Args:
        path: The target; its parent folders are made. A file replaces a file, a folder replaces a folder as a whole.

    Raises:
        FileNotFoundError: The block wrote nothing.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    try:
        unfinished = place / path.name
        yield unfinished
        if not unfinished.exists():
            raise FileNotFoundError(f"{path}: nothing was written to {unfinished}.")
        _apply_umask(unfinished)
        _replace(unfinished, path, aside=place / f"{path.name}.old")
    finally:
        shutil.rmtree(place, ignore_errors=True)


def write_text(path: str | Path, text: str) -> None:
    """Writes a UTF-8 text file; missing folders are made."""
    with atomic_path(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def _replace(new: Path, target: Path, aside: Path) -> None:
    if not target.is_dir():
        new.replace(target)
        return
    # No system call exchanges two folders everywhere: the old one steps aside, and comes back if the new one fails.
    target.rename(aside)
    try:
        new.rename(target)
    except BaseException:
        aside.rename(target)
        raise


def _apply_umask(path: Path) -> None:
    """The permissions that `open` and `mkdir` give: safetensors and tempfile make what only its owner reads."""
    umask = os.umask(0)
    os.umask(umask)
    for entry in [path, *path.rglob("*")] if path.is_dir() else [path]:
        entry.chmod((0o777 if entry.is_dir() else 0o666) & ~umask)


__all__ = ["atomic_path", "write_text"]
