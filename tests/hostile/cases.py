"""What a case is, and the good files that all of them are made from."""

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
import yaml

from tests.reference import load_case

Words = list[str]
# "either": what nobody can tell from a good file; only a traceback, or another model without a word, would be wrong.
Expected = Literal["refused", "accepted", "either"]
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


@dataclass(frozen=True)
class Case:
    """One input.

    Attributes:
        part: Group in the table.
        name: What is odd about it.
        write: Writes its files to an empty folder; returns the words after `segvit-hf convert`.
        expected: What should become of it.
        same_model: Whether an accepted file must give the weights of the good one.
        kept: Files that must be as they were, by name below the folder.
        largest_file: Bytes that any file of the process may have (a full disk), if limited.
    """

    part: str
    name: str
    write: Callable[[Path], Words]
    expected: Expected = "refused"
    same_model: bool = True
    kept: tuple[str, ...] = field(default=())
    largest_file: int | None = None


def good_state_dict() -> dict[str, torch.Tensor]:
    return dict(load_case("segvit", "tiny-atm1").state_dict())


def good_original() -> dict[str, Any]:
    original = {"model": load_case("segvit", "tiny-atm1").arch}
    return json.loads(json.dumps(original))


def segvit_words(folder: Path, file: str = "weights.pth", original: Any = None) -> Words:
    """The command for a SegViT checkpoint in a folder; writes its configuration."""
    text = original if isinstance(original, str) else json.dumps(good_original() if original is None else original)
    (folder / "original.json").write_text(text)
    return [
        *("--family", "segvit", "--config", str(folder / "original.json")),
        *(str(folder / file), "--output", str(folder / "out")),
    ]


def segmenter_words(folder: Path, variant: Any) -> Words:
    """The command for a good Segmenter checkpoint with a `variant.yml`, given as text or as values."""
    torch.save({"model": load_case("segmenter", "tiny-mask").state_dict()}, folder / "checkpoint.pth")
    (folder / "variant.yml").write_text(variant if isinstance(variant, str) else yaml.dump(variant))
    return ["--family", "segmenter", str(folder / "checkpoint.pth"), "--output", str(folder / "out")]


def good_variant() -> dict[str, Any]:
    return json.loads(json.dumps(load_case("segmenter", "tiny-mask").meta["variant"]))


def saved(content: Any, *, legacy: bool = False) -> bytes:
    """The bytes that torch.save writes."""
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def legacy_file(body: bytes) -> bytes:
    """A file in the older format around a hand-made pickle."""
    parts = [pickle.dumps(value, 2) for value in (_LEGACY_MAGIC, 1001, {"little_endian": True})]
    return b"".join([*parts, body, pickle.dumps([], 2)])


def zip_file(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def torch_zip_file(body: bytes, compression: int = zipfile.ZIP_STORED) -> bytes:
    """A file in the present format around a hand-made pickle."""
    return zip_file({"a/data.pkl": body, "a/byteorder": b"little", "a/version": b"3\n"}, compression)


def bytes_case(
    part: str, name: str, content: Callable[[], bytes], expected: Expected = "refused", **more: Any
) -> Case:
    def write(folder: Path) -> Words:
        (folder / "weights.pth").write_bytes(content())
        return segvit_words(folder)

    return Case(part, name, write, expected, **more)


def content_case(part: str, name: str, make: Callable[[], Any], expected: Expected = "refused", **more: Any) -> Case:
    """A file of the present format with what `make` returns in it."""
    return bytes_case(part, name, lambda: saved(make()), expected, **more)
