"""What `atomic_path` leaves behind: the whole new file or folder, or the old one."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from segvit_hf import files
from segvit_hf.files import atomic_path, recover, write_text


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def test_a_file_replaces_a_file_and_nothing_else_stays(tmp_path: Path) -> None:
    write_text(tmp_path / "below" / "a.txt", "old")
    write_text(tmp_path / "below" / "a.txt", "new")
    assert (tmp_path / "below" / "a.txt").read_text() == "new"
    assert entries(tmp_path) == ["a.txt", "below"]


def test_a_folder_replaces_a_folder_as_a_whole(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with atomic_path(tmp_path / "model") as unfinished:
            unfinished.mkdir()
            (unfinished / name).write_text(name)
    assert entries(tmp_path) == ["model", "new"]


def write_half(target: Path, *, is_folder: bool) -> None:
    with atomic_path(target) as unfinished:
        if is_folder:
            unfinished.mkdir()
        else:
            unfinished.write_text("half")
        raise RuntimeError("disk")


@pytest.mark.parametrize("is_folder", [False, True])
def test_a_failure_leaves_what_was_there(is_folder: bool, tmp_path: Path) -> None:
    target = tmp_path / "target"
    if is_folder:
        target.mkdir()
        (target / "old").write_text("old")
    else:
        target.write_text("old")
    before = entries(tmp_path)
    with pytest.raises(RuntimeError, match="disk"):
        write_half(target, is_folder=is_folder)
    assert entries(tmp_path) == before


def test_the_old_folder_comes_back_when_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "model"
    target.mkdir()
    (target / "old").write_text("old")
    rename = Path.rename

    def failing(self: Path, to: Path) -> Path:
        if to == target and self.name == "model":
            raise OSError("no space")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="no space"), atomic_path(target) as unfinished:
        unfinished.mkdir()
    assert entries(tmp_path) == ["model", "old"]


def test_permissions_are_those_of_ordinary_files(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "model") as unfinished:
        unfinished.mkdir(mode=0o700)
        (unfinished / "weights").write_text("")
        (unfinished / "weights").chmod(0o600)
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "model").stat().st_mode & 0o777 == 0o777 & ~umask
    assert (tmp_path / "model" / "weights").stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing was written"), atomic_path(tmp_path / "a.txt"):
        pass
    assert entries(tmp_path) == []


def test_the_temporary_path_has_the_suffix_of_the_target(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "picture.png") as unfinished:
        assert unfinished.suffix == ".png"
        unfinished.write_bytes(b"")


def write_new_folder(target: Path) -> None:
    with atomic_path(target) as unfinished:
        unfinished.mkdir()
        (unfinished / "new").write_text("new")


def old_folder(path: Path) -> Path:
    path.mkdir()
    (path / "old").write_text("old")
    return path


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, OSError])
@pytest.mark.parametrize("number", [1, 2])
def test_an_interruption_around_the_renames_leaves_the_old_folder(
    error: type[BaseException], number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = old_folder(tmp_path / "model")
    rename, calls = Path.rename, []

    def interrupted(self: Path, to: Path) -> Path:
        calls.append(to)
        result = rename(self, to)
        if len(calls) == number:
            raise error("now")
        return result

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(error):
        write_new_folder(target)
    # After the second rename all of the new folder is in place.
    assert entries(tmp_path) == ["model", "old" if number == 1 else "new"]


def test_an_old_folder_that_cannot_go_back_at_once_is_not_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = old_folder(tmp_path / "model")
    rename = Path.rename

    def failing(self: Path, to: Path) -> Path:
        if to == target:
            raise OSError("the network is gone")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="network"), atomic_path(target) as unfinished:
        unfinished.mkdir()
    assert not target.exists()
    monkeypatch.undo()
    recover(target)
    assert entries(tmp_path) == ["model", "old"]


# Kills itself as if with kill -9: at the end of the block, or at the N-th rename, before or after it.
KILLED = """
import os, signal, sys
from pathlib import Path
from segvit_hf.files import atomic_path

target, where, number = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
rename, calls = Path.rename, []

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def counted(self, to):
    calls.append(to)
    if where == "before" and len(calls) == number:
        die()
    result = rename(self, to)
    if where == "after" and len(calls) == number:
        die()
    return result

Path.rename = counted
with atomic_path(target, replaces=lambda name: name == "old") as unfinished:
    unfinished.mkdir()
    (unfinished / "new").write_text("new")
    if where == "writing":
        die()
"""


def kill_while_writing(target: Path, where: str, number: int) -> None:
    source = str(Path(files.__file__).parents[1])
    # The package itself imports torch: the module alone is enough.
    script = KILLED.replace("from segvit_hf.files import", "from files import")
    environment = {**os.environ, "PYTHONPATH": str(Path(source) / "segvit_hf")}
    result = subprocess.run([sys.executable, "-c", script, target, where, str(number)], env=environment)
    assert result.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("where", "number", "content"),
    [("writing", 0, "old"), ("before", 1, "old"), ("after", 1, "old"), ("before", 2, "old"), ("after", 2, "new")],
)
def test_after_a_kill_the_next_start_finds_all_of_one_folder(
    where: str, number: int, content: str, tmp_path: Path
) -> None:
    target = old_folder(tmp_path / "model")
    (target / "notes").write_text("mine")
    kill_while_writing(target, where, number)
    assert len([path for path in tmp_path.iterdir() if path.name.startswith(".model.")]) == 1
    recover(target)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]
    assert sorted(path.name for path in target.iterdir()) == sorted([content, "notes"])
    assert (target / "notes").read_text() == "mine"


def test_writing_clears_up_after_a_kill_too(tmp_path: Path) -> None:
    target = old_folder(tmp_path / "model")
    kill_while_writing(target, "after", 1)
    assert not target.exists()
    write_new_folder(target)
    assert entries(tmp_path) == ["model", "new"]


def test_what_a_living_process_writes_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with atomic_path(target) as unfinished:
        unfinished.mkdir()
        recover(target)
        with atomic_path(target) as other:
            other.mkdir()
        assert unfinished.exists()
    assert entries(tmp_path) == ["model"]


def test_only_leftovers_of_the_same_target_are_touched(tmp_path: Path) -> None:
    for name in (".model.v2.abcdefgh.tmp", ".models.abcdefgh.tmp", ".model.abc.tmp", ".model.abcdefgh.tmp.bak"):
        (tmp_path / name).mkdir()
    (tmp_path / ".model.abcdefgh.tmp").write_text("a file")
    before = entries(tmp_path)
    recover(tmp_path / "model")
    assert entries(tmp_path) == before


@pytest.mark.parametrize("name", ["n" * 250, "ä" * 127])
def test_names_may_be_as_long_as_the_file_system_allows(name: str, tmp_path: Path) -> None:
    for content in ("old", "new"):
        with atomic_path(tmp_path / name) as unfinished:
            unfinished.mkdir()
            (unfinished / content).write_text(content)
    assert entries(tmp_path) == sorted([name, "new"])


def test_what_is_not_replaced_stays_the_same_file(tmp_path: Path) -> None:
    target = old_folder(tmp_path / "model")
    (target / "below" / "deep").mkdir(parents=True)
    kept = [target / "notes", target / "below" / "deep" / "log"]
    for path in kept:
        path.write_text("mine")
        path.chmod(0o640)
    before = [path.stat() for path in kept]
    with atomic_path(target, replaces=lambda name: name == "old") as unfinished:
        unfinished.mkdir()
        (unfinished / "new").write_text("new")
    assert entries(target) == ["below", "deep", "log", "new", "notes"]
    assert [(path.stat().st_ino, path.stat().st_mode) for path in kept] == [(s.st_ino, s.st_mode) for s in before]


def test_without_hard_links_what_is_not_replaced_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = old_folder(tmp_path / "model")
    (target / "notes").write_text("mine")

    def no_links(*arguments: object, **more: object) -> None:
        raise OSError("not supported")

    monkeypatch.setattr(os, "link", no_links)
    with atomic_path(target, replaces=lambda name: name == "old") as unfinished:
        unfinished.mkdir()
    assert (target / "notes").read_text() == "mine"
    assert entries(target) == ["notes"]
