"""Files and folders that appear under their names only when they are complete."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file; missing folders are made."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_text(text, encoding="utf-8")
    os.replace(unfinished, path)


def write_folder(path: str | Path, fill: Callable[[Path], None]) -> None:
    """Let `fill` write a new folder, then put it in the place of `path` (replacing a folder of that name)."""
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    fill(unfinished)
    if path.exists():
        old = path.with_name(f".{path.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        os.replace(path, old)
        os.replace(unfinished, path)
        shutil.rmtree(old)
    else:
        os.replace(unfinished, path)
