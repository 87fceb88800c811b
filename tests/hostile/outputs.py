"""Folders that a conversion should not, or must not wholly, replace."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.hostile.cases import Case, Words, good_state_dict, saved, segvit_words

_MINE = ("out/latest.pth", "out/notes.txt", "out/logs/1.txt")


def cases() -> Iterator[Case]:
    yield Case("output", "the folder of its own input", _own_input, "accepted", kept=_MINE)
    yield Case("output", "the folder of its own configuration", _own_configuration, kept=("out/config.json",))
    yield Case("output", "a folder of other things", _other_things, kept=("out/thesis.tex",))
    yield Case("output", "below a file", _words_with(lambda f: (f / "out").write_text(""), "out/below/model"))
    yield Case("output", "a file", _words_with(lambda f: (f / "out").write_text(""), "out"))
    yield Case("output", "a link to itself", _words_with(lambda f: (f / "loop").symlink_to("loop"), "loop"))
    yield Case("output", "a name of 250 letters", _words_with(lambda f: None, "n" * 250), "accepted")
    yield Case("output", "a name of 300 letters", _words_with(lambda f: None, "n" * 300))
    yield Case("output", "a mount point", _words_with(lambda f: None, "/dev"))
    yield Case("output", "no name", _words_with(lambda f: None, ""))
    yield Case("output", "a full disk", _words_with(lambda f: None, "out"), largest_file=100_000)


def _good(folder: Path) -> Words:
    (folder / "weights.pth").write_bytes(saved({"state_dict": good_state_dict()}))
    return segvit_words(folder)


def _words_with(prepare: Callable[[Path], object], output: str) -> Callable[[Path], Words]:
    def write(folder: Path) -> Words:
        prepare(folder)
        return [*_good(folder)[:-1], str(folder / output) if output else ""]

    return write


def _own_input(folder: Path) -> Words:
    words = _good(folder)
    (folder / "out" / "logs").mkdir(parents=True)
    (folder / "out" / "config.json").write_text("{}")
    (folder / "out" / "notes.txt").write_text("mine")
    (folder / "out" / "logs" / "1.txt").write_text("mine")
    shutil.move(folder / "weights.pth", folder / "out" / "latest.pth")
    words[4] = str(folder / "out" / "latest.pth")
    return [*words, "--overwrite"]


def _own_configuration(folder: Path) -> Words:
    words = _good(folder)
    (folder / "out").mkdir()
    shutil.move(folder / "original.json", folder / "out" / "config.json")
    words[3] = str(folder / "out" / "config.json")
    return [*words, "--overwrite"]


def _other_things(folder: Path) -> Words:
    (folder / "out").mkdir()
    (folder / "out" / "thesis.tex").write_text("years of work")
    return [*_good(folder), "--overwrite"]
