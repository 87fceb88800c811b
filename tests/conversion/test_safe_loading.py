"""Loading `.pth` files: what is read, what is refused, and that nothing in them is ever executed."""

import argparse
import io
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.reading.file_format import CheckpointFormat
from segvit_hf.conversion.reading.safe_loading import load_checkpoint_file

WEIGHTS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}


class CreatesAFile:
    """Unpickling it the ordinary way creates the file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


def save(content: Any, path: Path, *, is_zip: bool = True) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=is_zip)
    return path


def assert_weights(state_dict: dict[str, torch.Tensor]) -> None:
    assert list(state_dict) == list(WEIGHTS)
    for name, weight in WEIGHTS.items():
        assert torch.equal(state_dict[name], weight)
        assert not state_dict[name].requires_grad


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize("wrapper", [(), ("state_dict",), ("model",), ("model", "state_dict")])
def test_weights_are_found_in_both_formats_and_nests(tmp_path: Path, is_zip: bool, wrapper: tuple[str, ...]) -> None:
    content: Any = OrderedDict(WEIGHTS)
    for key in reversed(wrapper):
        content = {key: content}
    loaded = load_checkpoint_file(save(content, tmp_path / "weights.pth", is_zip=is_zip))
    assert_weights(loaded.state_dict)
    assert loaded.wrapper == wrapper
    assert loaded.file_format is (CheckpointFormat.ZIP if is_zip else CheckpointFormat.LEGACY_PICKLE)
    assert loaded.ignored == {}


def test_what_training_code_stores_beside_the_weights_is_named_and_ignored(tmp_path: Path) -> None:
    content = {
        "meta": {
            "CLASSES": ("wall", "sky"),
            "PALETTE": np.array([[1, 2, 3], [4, 5, 6]], dtype=np.uint8),
            "best": np.float64(0.5),
            "iter": np.int64(80000),
        },
        "state_dict": OrderedDict(WEIGHTS),
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-4}]},
        "args": argparse.Namespace(epochs=300),
    }
    loaded = load_checkpoint_file(save(content, tmp_path / "weights.pth"))
    assert_weights(loaded.state_dict)
    assert set(loaded.ignored) == {"meta", "optimizer", "args"}
    assert loaded.metadata["CLASSES"] == ("wall", "sky")
    assert loaded.metadata["iter"] == 80000


def test_numpy_1_pickles_load(tmp_path: Path) -> None:
    path = save({"meta": {"best": np.float64(0.5)}, "state_dict": WEIGHTS}, tmp_path / "new.pth")
    old = tmp_path / "old.pth"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(old, "w", zipfile.ZIP_STORED) as target:
        for name in source.namelist():
            # numpy 1 named the module numpy.core; this pickle protocol writes it as text.
            target.writestr(name, source.read(name).replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"))
    assert b"numpy.core" in zipfile.ZipFile(old).read("new/data.pkl")
    assert load_checkpoint_file(old).metadata["best"] == 0.5


def test_the_prefix_of_distributed_training_is_removed(tmp_path: Path) -> None:
    wrapped = {f"module.{name}": weight for name, weight in WEIGHTS.items()}
    assert_weights(load_checkpoint_file(save({"state_dict": wrapped}, tmp_path / "weights.pth")).state_dict)


def test_writing_to_loaded_weights_leaves_the_file_alone(tmp_path: Path) -> None:
    path = save({"state_dict": WEIGHTS}, tmp_path / "weights.pth")
    load_checkpoint_file(path).state_dict["a.bias"].zero_()
    assert_weights(load_checkpoint_file(path).state_dict)


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_malicious_pickle_is_refused_by_name_and_not_executed(tmp_path: Path, is_zip: bool) -> None:
    victim = tmp_path / "created"
    content = {"state_dict": WEIGHTS, "hook": CreatesAFile(victim)}
    path = save(content, tmp_path / "weights.pth", is_zip=is_zip)
    with pytest.raises(ConversionError, match=r"refused, nothing was executed.*(posix|nt)\.system"):
        load_checkpoint_file(path)
    assert not victim.exists()


def test_the_file_would_have_been_created_by_an_unsafe_load(tmp_path: Path) -> None:
    victim = tmp_path / "created"
    pickle.load(io.BytesIO(pickle.dumps(CreatesAFile(victim))))
    assert victim.exists()


def test_the_allow_list_does_not_leak_into_the_process(tmp_path: Path) -> None:
    before = set(torch.serialization.get_safe_globals())
    load_checkpoint_file(save({"state_dict": WEIGHTS}, tmp_path / "weights.pth"))
    assert set(torch.serialization.get_safe_globals()) == before


def write_bytes(content: bytes) -> Any:
    return lambda path: path.write_bytes(content)


def write_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("photo.jpg", b"not weights")


def write_truncated(is_zip: bool, share: float) -> Any:
    def write(path: Path) -> None:
        save({"state_dict": {"weight": torch.zeros(50_000)}}, path, is_zip=is_zip)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return write


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (write_bytes(b""), r"expected a checkpoint written by torch\.save, found an empty file"),
        (write_bytes(b"<!DOCTYPE html><html>404</html>"), "found a web page"),
        (write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0"), "found a Git LFS pointer"),
        (write_bytes(b"random bytes that mean nothing"), "found a file that starts with b'random bytes tha'"),
        (write_bytes(pickle.dumps({"state_dict": 1})), r"found a Python pickle that torch\.save did not write"),
        (lambda path: save_file(WEIGHTS, path), "found a safetensors file"),
        (write_zip, r"found a zip archive of something else \(photo\.jpg\)"),
        (write_truncated(True, 0.5), "incomplete"),
        (write_truncated(False, 0.5), "incomplete"),
        (write_truncated(False, 0.01), "incomplete"),
        (lambda path: path.mkdir(), "found a folder"),
        (lambda path: None, "no such file"),
        (lambda path: save([1, 2], path), "expected a dictionary of weights, found a list of 2 entries"),
        (lambda path: save({"epoch": 3}, path), r"expected weights at the top level or under one of .*found epoch"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, write: Any, message: str) -> None:
    path = tmp_path / "weights.pth"
    write(path)
    with pytest.raises(ConversionError, match=message) as error:
        load_checkpoint_file(path)
    assert str(path) in str(error.value)


def test_torchscript_programs_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "program.pth"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("data.pkl", "constants.pkl", "code/model.py"):
            archive.writestr(f"program/{name}", b"")
    with pytest.raises(ConversionError, match="TorchScript"):
        load_checkpoint_file(path)
