"""Files that are damaged, too large when unpacked, nested without end, or no files at all."""

import os
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from segvit_hf.conversion import ConversionError, load_checkpoint_file
from segvit_hf.conversion.reading import archives, pickle_limits
from tests.hostile.bombs import member_writer
from tests.hostile.cases import legacy_file, saved, torch_zip_file, zip_file

WEIGHTS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}


def loaded(content: bytes, folder: Path) -> dict[str, torch.Tensor]:
    (folder / "weights.pth").write_bytes(content)
    return load_checkpoint_file(folder / "weights.pth").state_dict


def repacked(content: bytes, folder: Path, compression: int) -> bytes:
    (folder / "plain.pth").write_bytes(content)
    with zipfile.ZipFile(folder / "plain.pth") as archive:
        return zip_file({name: archive.read(name) for name in archive.namelist()}, compression)


@pytest.mark.parametrize("name", ["m.pth", "a/data.pkl"])
@pytest.mark.parametrize("start", [b"", legacy_file(b"")[:20]])
def test_a_bomb_is_refused_before_it_is_unpacked(
    name: str, start: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    member_writer(name, zipfile.ZIP_DEFLATED, start, 128 << 20)(tmp_path)

    def unpack(*arguments: object) -> None:
        raise AssertionError("it was unpacked")

    monkeypatch.setattr(archives, "open_member", unpack)
    with pytest.raises(ConversionError, match="nothing was read. Weights hardly compress"):
        load_checkpoint_file(tmp_path / "weights.pth")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressions_that_unpack_at_once_are_refused(method: int, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="expected entries that are stored or deflated"):
        loaded(zip_file({"m.pth": saved(WEIGHTS)}, method), tmp_path)


def test_a_packed_file_that_is_no_checkpoint_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segvit_hf.conversion.reading.safe_loading.copy_member", None)
    with pytest.raises(ConversionError, match="m.pth: expected a checkpoint written by torch.save, found"):
        loaded(zip_file({"m.pth": bytes(5000)}), tmp_path)


def test_compressed_entries_are_read_as_what_they_are(tmp_path: Path) -> None:
    weights = {"a": torch.zeros(4000), "b": torch.arange(4000.0)}  # mapped, the file's own bytes would be the weights
    found = loaded(repacked(saved(weights), tmp_path, zipfile.ZIP_DEFLATED), tmp_path)
    assert torch.equal(found["b"], weights["b"])


@pytest.mark.parametrize("form", [torch_zip_file, legacy_file])
def test_a_pickle_has_a_length(form: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickle_limits, "LONGEST_PICKLE", 1000)
    with pytest.raises(ConversionError, match="longer than 1000 bytes"):
        loaded(form(b"\x80\x02" + b"]" * 1000 + b"."), tmp_path)


@pytest.mark.parametrize("form", [torch_zip_file, legacy_file])
@pytest.mark.parametrize(
    "body",
    [
        b"\x80\x02})" + b"\x85" * 200 + b"K\x01s.",  # tuples
        b"\x80\x02)q\x010" + b"h\x01\x85q\x010" * 200 + b"h\x01.",  # tuples, each taken from the memo
        b"\x80\x02" + b"}X\x05\x00\x00\x00model" * 200 + b"}" + b"s" * 200 + b".",
        b"\x80\x02" + b"(" * 200 + b"l" * 200 + b".",
    ],
)
def test_values_are_not_nested_without_end(body: bytes, form: Any, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="nested more than 100 deep"):
        loaded(form(body), tmp_path)


def test_a_state_dict_that_holds_itself_is_refused(tmp_path: Path) -> None:
    content: dict[str, Any] = {}
    content["state_dict"] = content
    with pytest.raises(ConversionError, match=r"one in the other \(state_dict\.state_dict"):
        loaded(saved(content), tmp_path)


def test_wrappers_are_opened_up_to_a_limit(tmp_path: Path) -> None:
    content: Any = WEIGHTS
    for _ in range(4):
        content = {"model": content}
    assert set(loaded(saved(content), tmp_path)) == set(WEIGHTS)
    with pytest.raises(ConversionError, match="at most 4"):
        loaded(saved({"model": content}), tmp_path)


def test_one_flipped_bit_of_a_weight_is_noticed(tmp_path: Path) -> None:
    content = bytearray(saved(WEIGHTS))
    place = bytes(content).index(WEIGHTS["a.weight"].numpy().tobytes())
    content[place + 5] ^= 1
    with pytest.raises(ConversionError, match="Bad CRC-32.*damaged"):
        loaded(bytes(content), tmp_path)


def test_files_without_checksums_are_read(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        content = saved(WEIGHTS)
    finally:
        torch.serialization.set_crc32_options(True)
    assert torch.equal(loaded(content, tmp_path)["a.weight"], WEIGHTS["a.weight"])


def test_an_entry_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(saved(WEIGHTS))
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr(archive.namelist()[0], b"N.")
    with pytest.raises(ConversionError, match="more than one entry of a name: archive/data.pkl|data.pkl"):
        load_checkpoint_file(path)


def test_a_tar_archive_that_starts_like_a_checkpoint_is_not_opened(tmp_path: Path) -> None:
    content = legacy_file(b"")[:20].ljust(257, b".") + b"ustar" + bytes(1000)
    with pytest.raises(ConversionError, match="found a tar archive"):
        loaded(content, tmp_path)


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (os.mkfifo, "a named pipe"),
        (lambda path: path.symlink_to("/dev/zero"), "a device"),
        (lambda path: path.mkdir(), "a folder"),
        (lambda path: path.symlink_to(path), "cannot be read"),
    ],
)
def test_only_files_are_opened(make: Any, found: str, tmp_path: Path) -> None:
    make(tmp_path / "weights.pth")
    with pytest.raises(ConversionError, match=rf"expected a checkpoint file \(\.pth\).*{found}"):
        load_checkpoint_file(tmp_path / "weights.pth")


@pytest.mark.parametrize("key", [5, None, (1, "a"), b"a"])
def test_weights_without_a_name_are_refused(key: Any, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="expected weights with names"):
        loaded(saved({**WEIGHTS, key: torch.zeros(1)}), tmp_path)


def test_names_beside_the_weights_are_made_fit_to_be_shown(tmp_path: Path) -> None:
    content = {
        "state_dict": WEIGHTS,
        "\x1b[2J\nall fine": 1,
        "k" * 10_000: 2,
        5: 3,
        **dict.fromkeys(map(str, range(900))),
    }
    (tmp_path / "weights.pth").write_bytes(saved(content))
    ignored = load_checkpoint_file(tmp_path / "weights.pth").ignored
    assert r"\x1b[2J\nall fine" in ignored
    assert max(map(len, ignored)) < 200
    assert len(ignored) < 60
    assert ignored["..."] == "853 more"


def test_the_prefix_of_distributed_training_is_only_removed_from_all_names(tmp_path: Path) -> None:
    content = {"module.a": torch.zeros(1), "b": torch.zeros(1)}
    assert set(loaded(saved(content), tmp_path)) == {"module.a", "b"}
