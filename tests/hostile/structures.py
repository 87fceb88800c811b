"""Odd pickles and odd tensors."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from tests.hostile.cases import Case, Words, bytes_case, content_case, good_state_dict, saved, segvit_words, zip_file

_SCREEN = "\x1b[2J\nsegvit-hf: all fine"
_BIAS = "decode_head.q.weight"


def cases() -> Iterator[Case]:
    yield content_case("structures", "a good file", lambda: {"state_dict": good_state_dict()}, "accepted")
    yield from _contents()
    yield from _files()
    yield from _tensors()


def _contents() -> Iterator[Case]:
    for name, make in {
        "a list": lambda: [1, 2],
        "a tensor": lambda: torch.zeros(3),
        "None": lambda: None,
        "an empty dictionary": dict,
        "an empty state dict": lambda: {"state_dict": {}},
        "no weights": lambda: {"epoch": 3},
        "a key that is a number": lambda: {"state_dict": {**good_state_dict(), 5: torch.zeros(1)}},
        "a key that is None": lambda: {"state_dict": {**good_state_dict(), None: torch.zeros(1)}},
        "a key that is a tuple": lambda: {"state_dict": {**good_state_dict(), (1, "a"): torch.zeros(1)}},
        "only keys that are numbers": lambda: {"state_dict": {0: torch.zeros(1), 1: torch.zeros(1)}},
        "a weight with a screen in its name": lambda: {"state_dict": {**good_state_dict(), _SCREEN: torch.zeros(1)}},
        "a weight with a name of 10 MB": lambda: {"state_dict": {**good_state_dict(), "k" * 10**7: torch.zeros(1)}},
        "a layer number of 100,000 digits": lambda: {
            "state_dict": {**good_state_dict(), f"backbone.layers.{'9' * 100_000}.ln1.weight": torch.zeros(1)}
        },
        "class names with a screen": lambda: _with_classes([_SCREEN, "b", "c", "d", "e", "f"]),
        "class names that are equal": lambda: _with_classes(["a"] * 6),
    }.items():
        yield content_case("structures", name, make)
    for name, make in {
        "a screen beside the weights": lambda: {"state_dict": good_state_dict(), _SCREEN: 1},
        "a number beside the weights": lambda: {"state_dict": good_state_dict(), 5: 1, None: 2, (1, 2): 3},
        "100,000 keys beside the weights": lambda: {
            "state_dict": good_state_dict(),
            **dict.fromkeys(map(str, range(100_000))),
        },
        "the prefix of distributed training": lambda: {f"module.{k}": v for k, v in good_state_dict().items()},
    }.items():
        yield content_case("structures", name, make, "accepted")


def _with_classes(names: list[str]) -> Any:
    return {"state_dict": good_state_dict(), "meta": {"CLASSES": names}}


def _files() -> Iterator[Case]:
    for name, content in {
        "an empty file": b"",
        "a web page": b"<!DOCTYPE html><html>404</html>",
        "a tar that starts like torch's": b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19".ljust(257, b".")
        + b"ustar"
        + bytes(600),
        "zeros": bytes(5000),
    }.items():
        yield bytes_case("structures", name, lambda content=content: content)
    good = saved({"state_dict": good_state_dict()})
    for name in ("../m.pth", "/tmp/m.pth", "C:\\m.pth", "a/../../m.pth"):
        yield bytes_case("structures", f"a package with {name}", lambda name=name: zip_file({name: good}))
    yield bytes_case("structures", "two checkpoints in a package", lambda: zip_file({"a.pth": good, "b.pth": good}))
    yield bytes_case("structures", "a package", lambda: zip_file({"a.pth": good}), "accepted")
    yield Case("structures", "a named pipe", _special(lambda path: os.mkfifo(path)))
    yield Case("structures", "a folder", _special(lambda path: path.mkdir()))
    yield Case("structures", "a link to itself", _special(lambda path: path.symlink_to(path)))
    for device in ("/dev/zero", "/dev/null"):
        yield Case("structures", device, _special(lambda path, device=device: path.symlink_to(device)))
    yield Case("structures", "a named pipe as configuration", _pipe_as_configuration)


def _special(make: Callable[[Path], Any]) -> Callable[[Path], Words]:
    def write(folder: Path) -> Words:
        make(folder / "weights.pth")
        return segvit_words(folder)

    return write


def _pipe_as_configuration(folder: Path) -> Words:
    (folder / "weights.pth").write_bytes(saved({"state_dict": good_state_dict()}))
    words = segvit_words(folder)
    (folder / "original.json").unlink()
    os.mkfifo(folder / "original.json")
    return words


def _tensors() -> Iterator[Case]:
    for dtype in (torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64, torch.bool, torch.complex64):
        yield _cast("tensors", dtype)
    for name in ("float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu", "complex32", "uint16"):
        if hasattr(torch, name):
            yield _cast("tensors", getattr(torch, name))
    for dtype in (torch.float16, torch.bfloat16):
        yield _cast("tensors", dtype, "accepted", same_model=False)
    yield _cast("tensors", torch.float64, "accepted")
    for name, change in {
        "float64 beyond float32": lambda w: w.double() + 1e300,
        "NaN": lambda w: w + float("nan"),
        "one NaN": _one_nan,
        "infinity": lambda w: w + float("inf"),
        "sparse": lambda w: w.to_sparse(),
        "sparse rows": lambda w: w.to_sparse_csr(),
        "quantized": lambda w: torch.quantize_per_tensor(w, 0.1, 0, torch.qint8),
        "without values": lambda w: w.to("meta"),
        "one number": lambda w: torch.zeros(()),
        "another shape": lambda w: w[1:],
        "no rows": lambda w: w[:0],
        "a parameter less": lambda w: None,
    }.items():
        yield content_case("tensors", name, _changed(change))
    yield content_case("tensors", "an extra weight", lambda: {**good_state_dict(), "extra": torch.zeros(1)})
    for name, make in {
        "two names for one tensor": _tied,
        "one number as a tensor": _expanded,
        "views of one tensor": _views,
        "transposed in memory": lambda: _each(lambda w: w.t().contiguous().t() if w.ndim == 2 else w),
        "parameters": lambda: _each(torch.nn.Parameter),
        "zeros": lambda: _each(torch.zeros_like),
    }.items():
        is_same = name in ("views of one tensor", "transposed in memory", "parameters")
        yield content_case("tensors", name, make, "accepted", same_model=is_same)


def _cast(part: str, dtype: torch.dtype, expected: Any = "refused", **more: Any) -> Case:
    name = str(dtype).removeprefix("torch.")
    return content_case(part, f"all {name}", lambda: {"state_dict": _each(lambda w: w.to(dtype))}, expected, **more)


def _each(change: Callable[[torch.Tensor], Any]) -> dict[str, Any]:
    return {key: change(weight) for key, weight in good_state_dict().items()}


def _changed(change: Callable[[torch.Tensor], Any]) -> Callable[[], Any]:
    def make() -> Any:
        weights = good_state_dict()
        changed = change(weights.pop(_BIAS))
        return weights if changed is None else {**weights, _BIAS: changed}

    return make


def _one_nan(weight: torch.Tensor) -> torch.Tensor:
    weight = weight.clone()
    weight.view(-1)[-1] = float("nan")
    return weight


def _pair(weights: dict[str, torch.Tensor]) -> tuple[str, str]:
    return "backbone.layers.0.ln1.weight", "backbone.layers.0.ln2.weight"


def _tied() -> Any:
    weights = good_state_dict()
    first, second = _pair(weights)
    weights[second] = weights[first]
    return weights


def _expanded() -> Any:
    weights = good_state_dict()
    for key in _pair(weights):
        weights[key] = torch.zeros(()).expand(weights[key].shape)
    return weights


def _views() -> Any:
    weights = good_state_dict()
    first, second = _pair(weights)
    both = torch.stack([weights[first], weights[second]])
    weights[first], weights[second] = both[0], both[1]
    return weights
