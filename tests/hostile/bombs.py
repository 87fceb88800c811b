"""Small files that become large, or never end."""

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from tests.hostile.cases import (
    Case,
    Words,
    bytes_case,
    content_case,
    good_state_dict,
    good_variant,
    legacy_file,
    saved,
    segmenter_words,
    segvit_words,
    torch_zip_file,
    zip_file,
)

_LEGACY_START = legacy_file(b"")[:20]
GIGABYTE = 1 << 30
# How a bomb is packed, and by how much it is smaller than the others: bz2 and lzma pack 25 MB a second.
_METHODS = {"deflate": (zipfile.ZIP_DEFLATED, 1), "bz2": (zipfile.ZIP_BZIP2, 8), "lzma": (zipfile.ZIP_LZMA, 8)}


def cases(size: int = 2 * GIGABYTE) -> Iterator[Case]:
    for name, (method, divisor) in _METHODS.items():
        for start, words in ((b"", "package of zeros"), (_LEGACY_START, "package with a start of torch's")):
            yield Case("bombs", f"{words}, {name}", member_writer("m.pth", method, start, size // divisor))
    yield Case("bombs", "data.pkl of zeros", member_writer("a/data.pkl", zipfile.ZIP_DEFLATED, b"", size))
    yield Case("bombs", "data.pkl of lists", member_writer("a/data.pkl", zipfile.ZIP_DEFLATED, b"", size, b"]"))
    yield bytes_case("bombs", "40 MB of lists, stored", lambda: torch_zip_file(b"\x80\x02" + b"]" * 40_000_000 + b"."))
    yield bytes_case(
        "bombs", "40 MB of lists, older format", lambda: legacy_file(b"\x80\x02" + b"]" * 40_000_000 + b".")
    )
    yield bytes_case("bombs", "a tuple nested 3,000,000 deep as a key", lambda: torch_zip_file(_deep_key(3_000_000)))
    yield bytes_case("bombs", "the same, older format", lambda: legacy_file(_deep_key(3_000_000)))
    yield content_case("bombs", "a state dict that holds itself", _holds_itself)
    yield bytes_case("bombs", "model nested 300,000 deep", lambda: torch_zip_file(_deep_wrapper(300_000)))
    yield content_case("bombs", "model nested 5 deep", lambda: _wrapped(5))
    yield bytes_case("bombs", "a package in a package", _package_in_package)
    yield bytes_case("bombs", "a deflated checkpoint", _deflated, "accepted")
    yield bytes_case(
        "bombs", "a deflated package", lambda: zip_file({"m.pth": _good()}, zipfile.ZIP_DEFLATED), "accepted"
    )
    yield Case("bombs", "YAML aliases in a size", _yaml_writer("net_kwargs", "image_size"))
    yield Case("bombs", "YAML aliases in the classes", _yaml_writer("", "classes"))
    yield Case("bombs", "YAML that holds itself", lambda f: segmenter_words(f, "a: &a [*a]\nnet_kwargs: *a\n"))
    yield Case("bombs", "5,000 brackets of YAML", lambda f: segmenter_words(f, "a: " + "[" * 5000 + "]" * 5000))
    yield Case("bombs", "a million layers", _layers_writer(1_000_000))
    yield Case("bombs", "a thousand layers", _layers_writer(1_000))
    yield Case("bombs", "100,000 brackets of JSON", _json_writer("[" * 100_000))
    yield Case("bombs", "a whole number of 100,000 digits", _json_writer('{"model": 1' + "0" * 100_000 + "}"))
    yield content_case("bombs", "200,000 further weights", lambda: _many_weights(200_000))


def member_writer(name: str, method: int, start: bytes, size: int, filling: bytes = b"\0") -> Callable[[Path], Words]:
    """A zip file whose one entry unpacks to `size` bytes."""

    def write(folder: Path) -> Words:
        piece = filling * (1 << 24)
        path = folder / "weights.pth"
        with (
            zipfile.ZipFile(path, "w", method, compresslevel=1) as archive,
            archive.open(name, "w", force_zip64=True) as member,
        ):
            member.write(start)
            for _ in range(size // len(piece)):
                member.write(piece)
        return segvit_words(folder)

    return write


def _deep_key(depth: int) -> bytes:
    return b"\x80\x02})" + b"\x85" * depth + b"K\x01s."


def _deep_wrapper(depth: int) -> bytes:
    return b"\x80\x02" + b"}X\x05\x00\x00\x00model" * depth + b"}" + b"s" * depth + b"."


def _wrapped(depth: int) -> object:
    content: object = good_state_dict()
    for _ in range(depth):
        content = {"model": content}
    return content


def _holds_itself() -> object:
    content: dict[str, object] = dict(good_state_dict())
    content["state_dict"] = content
    return content


def _good() -> bytes:
    return saved({"state_dict": good_state_dict()})


def _package_in_package() -> bytes:
    return zip_file({"outer.pth": zip_file({"inner.pth": _good()})})


def _deflated() -> bytes:
    import io

    with zipfile.ZipFile(io.BytesIO(_good())) as archive:
        return zip_file({name: archive.read(name) for name in archive.namelist()}, zipfile.ZIP_DEFLATED)


def _many_weights(count: int) -> object:
    weight = torch.zeros(1)
    return {"state_dict": {**good_state_dict(), **{f"extra.{index}": weight for index in range(count)}}}


def _yaml_writer(section: str, field: str) -> Callable[[Path], Words]:
    def write(folder: Path) -> Words:
        variant = good_variant()
        (variant[section] if section else variant).pop(field, None)
        lines = ["bomb0: &a0 [x, x, x, x, x, x, x, x, x]"]
        lines += [f"bomb{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
        text = "\n".join(lines) + "\n" + _dump(variant)
        inner = f"  {field}: *a9\n" if section else f"{field}: *a9\n"
        text = text.replace(f"{section}:\n", f"{section}:\n{inner}") if section else text + inner
        return segmenter_words(folder, text)

    return write


def _dump(values: object) -> str:
    import yaml

    return yaml.dump(values)


def _layers_writer(count: int) -> Callable[[Path], Words]:
    def write(folder: Path) -> Words:
        variant = good_variant()
        variant["net_kwargs"]["n_layers"] = count
        return segmenter_words(folder, variant)

    return write


def _json_writer(text: str) -> Callable[[Path], Words]:
    def write(folder: Path) -> Words:
        (folder / "weights.pth").write_bytes(_good())
        return segvit_words(folder, original=text)

    return write
