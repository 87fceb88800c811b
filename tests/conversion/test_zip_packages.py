"""Checkpoints in zip packages are read in place; packages that point outside of themselves are refused."""

import stat
import zipfile
from pathlib import Path

import pytest
import torch

from segvit_hf.conversion import ConversionError, load_checkpoint_file
from segvit_hf.conversion.reading.file_format import CheckpointFormat

WEIGHTS = {"backbone.level_embed": torch.arange(6.0).view(3, 2), "decode_head.x": torch.ones(1)}


def save(path: Path, *, legacy: bool = False) -> Path:
    content = {"meta": {"epoch": 1}, "state_dict": WEIGHTS, "optimizer": {}}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def pack(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("folder", ["", "release/"])
def test_the_checkpoint_of_a_package_is_read(folder: str, compression: int, legacy: bool, tmp_path: Path) -> None:
    content = save(tmp_path / "model.pth.tar", legacy=legacy).read_bytes()
    members = {f"{folder}model.pth.tar": content, "__MACOSX/._model.pth.tar": b"junk", "readme.txt": b"hello"}
    package = pack(tmp_path / "model.zip", members, compression)
    before = sorted(tmp_path.iterdir())
    loaded = load_checkpoint_file(package)
    assert loaded.file_format is CheckpointFormat.PACKAGE
    assert loaded.wrapper == ("state_dict",)
    assert {name: tensor.tolist() for name, tensor in loaded.state_dict.items()} == {
        name: tensor.tolist() for name, tensor in WEIGHTS.items()
    }
    assert sorted(tmp_path.iterdir()) == before  # nothing was unpacked


def test_a_pth_tar_file_is_a_checkpoint(tmp_path: Path) -> None:
    loaded = load_checkpoint_file(save(tmp_path / "model.pth.tar"))
    assert set(loaded.state_dict) == set(WEIGHTS)


@pytest.mark.parametrize("name", ["../model.pth", "a/../../model.pth", "/tmp/model.pth", "C:\\model.pth", "..\\m.pth"])
def test_a_member_that_points_outside_is_refused(name: str, tmp_path: Path) -> None:
    content = save(tmp_path / "inner.pth").read_bytes()
    package = pack(tmp_path / "model.zip", {name: content})
    with pytest.raises(ConversionError, match="refused, nothing was read"):
        load_checkpoint_file(package)


def test_a_harmless_checkpoint_beside_a_member_that_points_outside_is_refused_too(tmp_path: Path) -> None:
    content = save(tmp_path / "inner.pth").read_bytes()
    package = pack(tmp_path / "model.zip", {"model.pth": content, "../.profile": b"echo"})
    with pytest.raises(ConversionError, match=r"\.\./\.profile"):
        load_checkpoint_file(package)


def test_a_link_is_refused(tmp_path: Path) -> None:
    package = tmp_path / "model.zip"
    with zipfile.ZipFile(package, "w") as archive:
        link = zipfile.ZipInfo("model.pth")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/hostname")
    with pytest.raises(ConversionError, match="refused, nothing was read"):
        load_checkpoint_file(package)


def test_two_checkpoints_in_a_package_are_named(tmp_path: Path) -> None:
    content = save(tmp_path / "inner.pth").read_bytes()
    package = pack(tmp_path / "model.zip", {"a.pth": content, "b.pth": content})
    with pytest.raises(ConversionError, match=r"found a\.pth, b\.pth"):
        load_checkpoint_file(package)


def test_a_packed_file_that_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    package = pack(tmp_path / "model.zip", {"model.pth": b"<html>not found</html>"})
    with pytest.raises(ConversionError, match=r"model\.pth: expected a checkpoint written by torch.save"):
        load_checkpoint_file(package)


def test_code_in_a_packed_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": WEIGHTS, "hook": Path("x")}, tmp_path / "inner.pth")
    package = pack(tmp_path / "model.zip", {"model.pth": (tmp_path / "inner.pth").read_bytes()})
    with pytest.raises(ConversionError, match="refused, nothing was executed"):
        load_checkpoint_file(package)
