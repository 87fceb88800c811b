"""Checkpoints that want code run: as a value, as a key, in either format, in a package, in hand-made pickles."""

import builtins
import functools
import importlib
import operator
import os
import pickle
import runpy
import shutil
import subprocess
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.hostile.cases import (
    Case,
    Words,
    bytes_case,
    good_state_dict,
    legacy_file,
    saved,
    segvit_words,
    torch_zip_file,
    zip_file,
)

CANARY = "canary"


class _Calls:
    """Unpickling it the ordinary way calls a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.arguments


# Name: from the path of the canary, what is pickled.
PAYLOADS: dict[str, Callable[[Path], Any]] = {
    "os.system": lambda canary: _Calls(os.system, f"touch {canary}"),
    "subprocess.Popen": lambda canary: _Calls(subprocess.Popen, ["touch", str(canary)]),
    "subprocess.check_output": lambda canary: _Calls(subprocess.check_output, ["touch", str(canary)]),
    "builtins.eval": lambda canary: _Calls(eval, f"open({str(canary)!r}, 'w')"),
    "builtins.exec": lambda canary: _Calls(exec, f"open({str(canary)!r}, 'w')"),
    "builtins.open": lambda canary: _Calls(open, str(canary), "w"),
    "builtins.getattr": lambda canary: _Calls(getattr, "text", "upper"),
    "builtins.__import__": lambda canary: _Calls(builtins.__import__, "antigravity"),
    "builtins.compile": lambda canary: _Calls(compile, "1", "a", "eval"),
    "importlib.import_module": lambda canary: _Calls(importlib.import_module, "antigravity"),
    "operator.attrgetter": lambda canary: _Calls(operator.attrgetter, "system"),
    "operator.methodcaller": lambda canary: _Calls(operator.methodcaller, "system", "true"),
    "functools.partial": lambda canary: _Calls(functools.partial, os.system, f"touch {canary}"),
    "pickle.loads": lambda canary: _Calls(pickle.loads, pickle.dumps(_Calls(os.system, f"touch {canary}"))),
    "torch.load": lambda canary: _Calls(torch.load, str(canary)),
    "torch.hub.load": lambda canary: _Calls(torch.hub.load, str(canary), "model"),
    "torch.save": lambda canary: _Calls(torch.save, 1, str(canary)),
    "numpy.load": lambda canary: _Calls(np.load, str(canary)),
    "numpy.save": lambda canary: _Calls(np.save, str(canary), 1),
    "numpy.memmap": lambda canary: _Calls(np.memmap, str(canary), "uint8", "w+", 0, (1,)),
    "runpy.run_path": lambda canary: _Calls(runpy.run_path, str(canary)),
    "shutil.rmtree": lambda canary: _Calls(shutil.rmtree, str(canary)),
    "pathlib.Path": lambda canary: canary,
    "types.SimpleNamespace": lambda canary: types.SimpleNamespace(canary=str(canary)),
    "numpy object array": lambda canary: np.array([_Calls(os.system, f"touch {canary}")], dtype=object),
    "a class of ours": lambda canary: Case,
}

_PLACES: dict[str, Callable[[Any], Any]] = {
    "beside": lambda payload: {"state_dict": good_state_dict(), "hook": payload},
    "meta": lambda payload: {"state_dict": good_state_dict(), "meta": {"CLASSES": payload}},
    "weight": lambda payload: {"state_dict": {**good_state_dict(), "backbone.extra": payload}},
}


def _touch(canary: Path) -> bytes:
    return f"touch {canary}".encode()


# Hand-made pickles that call os.system in ways that `pickle.dump` does not write.
HAND_MADE: dict[str, Callable[[Path], bytes]] = {
    "GLOBAL REDUCE": lambda c: (
        b"\x80\x02cposix\nsystem\nX" + len(_touch(c)).to_bytes(4, "little") + _touch(c) + b"\x85R."
    ),
    "STACK_GLOBAL": lambda c: (
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c" + bytes([len(_touch(c))]) + _touch(c) + b"\x85R."
    ),
    "INST": lambda c: b"(S'" + _touch(c) + b"'\niposix\nsystem\n.",
    "OBJ": lambda c: b"(cposix\nsystem\nS'" + _touch(c) + b"'\no.",
    "NEWOBJ": lambda c: (
        b"\x80\x02csubprocess\nPopen\n]X\x05\x00\x00\x00touchaX"
        + len(str(c)).to_bytes(4, "little")
        + str(c).encode()
        + b"a\x85\x81."
    ),
    "EXT1": lambda c: b"\x80\x02\x82\x01.",
    "PERSID": lambda c: b"Pposix.system\n.",
    "BINPERSID of a tuple": lambda c: b"\x80\x02(X\x06\x00\x00\x00systemX\x02\x00\x00\x00lstQ.",
    "BUILD of a class": lambda c: b"\x80\x02cargparse\nNamespace\n)\x81}X\x0b\x00\x00\x00__reduce__aK\x01sb.",
    "a dotted name": lambda c: b"\x80\x02ctorch\nserialization.os.system\n" + b"X\x04\x00\x00\x00true\x85R.",
    "a blocked module": lambda c: b"\x80\x02csys\nexit\nK\x00\x85R.",
    "only STOP": lambda c: b".",
    "nothing": lambda c: b"",
    "MARK without end": lambda c: b"\x80\x02((((.",
    "a memo that is not there": lambda c: b"\x80\x02h\x07.",
    "a set item on a number": lambda c: b"\x80\x02K\x01K\x02K\x03s.",
    "a frame that is too long": lambda c: b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f}.",
    "bytearray of 100 GB": lambda c: b"\x80\x02c__builtin__\nbytearray\n\x8a\x05\x00\xe8\x76\x48\x17\x85R.",
}


def cases() -> Iterator[Case]:
    for name, payload in PAYLOADS.items():
        for place in _PLACES:
            yield Case("code", f"{name}, {place}", _writer(payload, place, "zip"))
        yield Case("code", f"{name}, beside, older format", _writer(payload, "beside", "legacy"))
        yield Case("code", f"{name}, beside, package", _writer(payload, "beside", "package"))
    for name, body in HAND_MADE.items():
        yield Case("code", f"{name}, hand-made", _hand_made_writer(body, torch_zip_file))
        yield Case("code", f"{name}, hand-made, older format", _hand_made_writer(body, legacy_file))
    yield bytes_case("code", "two pickles of a name", _two_pickles)
    yield bytes_case("code", "TorchScript", lambda: zip_file({"a/data.pkl": b".", "a/constants.pkl": b"."}))


def write_payload(folder: Path, payload: Callable[[Path], Any], place: str, form: str) -> Path:
    """Writes one file with a payload; `form` is "zip", "legacy" or "package"."""
    content = saved(_PLACES[place](payload(folder / CANARY)), legacy=form == "legacy")
    path = folder / "weights.pth"
    path.write_bytes(zip_file({"model.pth": content}) if form == "package" else content)
    return path


def _writer(payload: Callable[[Path], Any], place: str, form: str) -> Callable[[Path], Words]:
    def write(folder: Path) -> Words:
        write_payload(folder, payload, place, form)
        return segvit_words(folder)

    return write


def _hand_made_writer(body: Callable[[Path], bytes], form: Callable[[bytes], bytes]) -> Callable[[Path], Words]:
    def write(folder: Path) -> Words:
        (folder / "weights.pth").write_bytes(form(body(folder / CANARY)))
        return segvit_words(folder)

    return write


def _two_pickles() -> bytes:
    import io
    import warnings
    import zipfile

    buffer = io.BytesIO(saved({"state_dict": good_state_dict()}))
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("archive/data.pkl", b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.")
    return buffer.getvalue()
