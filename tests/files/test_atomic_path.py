"""What `atomic_path` leaves behind: the whole new file or folder, or the old one."""

import os
from pathlib import Path

import pytest

from segvit_hf.files import atomic_path, write_text


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


@pytest.mark.parametrize("is_folder", [False, True])
def test_a_failure_leaves_what_was_there(is_folder: bool, tmp_path: Path) -> None:
    target = tmp_path / "target"
    if is_folder:
        target.mkdir()
        (target / "old").write_text("old")
    else:
        target.write_text("old")
    before = entries(tmp_path)

    def write_half() -> None:
        with atomic_path(target) as unfinished:
            if is_folder:
                unfinished.mkdir()
            else:
                unfinished.write_text("half")
            raise RuntimeError("disk")

    with pytest.raises(RuntimeError, match="disk"):
        write_half()
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
