"""`segvit-hf convert` for Segmenter: `variant.yml` beside the file, folders, addresses, the two namings."""

import functools
import json
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation

from segvit_hf.cli import main as program
from segvit_hf.conversion import ConversionError
from segvit_hf.conversion.reading.plain_yaml import read_plain_yaml
from tests.conversion.mmseg_segmenter import mmseg_original, mmseg_state_dict
from tests.reference import assert_close_to_reference, load_case


def convert(*words: Any) -> int:
    return program.main(["convert", *map(str, words)])


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """A folder as the authors release it."""
    case = load_case("segmenter", "tiny-mask")
    folder = tmp_path / "released" / "seg_tiny_mask"
    folder.mkdir(parents=True)
    content = {"model": case.state_dict(), "optimizer": {}, "n_cls": 7, "lr_scheduler": {}, "epoch": 1}
    torch.save(content, folder / "checkpoint.pth")
    variant = json.loads(json.dumps(case.meta["variant"]))
    variant["net_kwargs"]["image_size"] = tuple(variant["net_kwargs"]["image_size"])
    (folder / "variant.yml").write_text(yaml.dump(variant))
    assert "!!python/tuple" in (folder / "variant.yml").read_text()
    return folder


def assert_converted(folder: Path) -> None:
    case = load_case("segmenter", "tiny-mask")
    model = AutoModelForSemanticSegmentation.from_pretrained(folder).eval()
    with torch.no_grad():
        assert_close_to_reference(model(case.pixel_values()).logits, case, "logits")
    assert AutoImageProcessor.from_pretrained(folder).minimum_input_short_edge == 64


def test_the_variant_beside_the_file_is_its_configuration(released: Path, tmp_path: Path) -> None:
    assert convert("--family", "segmenter", released / "checkpoint.pth", "--output", tmp_path / "file") == 0
    assert_converted(tmp_path / "file")


def test_a_released_folder_is_converted_as_a_whole(released: Path, tmp_path: Path) -> None:
    assert convert("--family", "segmenter", released, "--output", tmp_path / "folder") == 0
    assert_converted(tmp_path / "folder")


def test_another_variant_may_be_given(released: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yml"
    (released / "variant.yml").rename(other)
    words = ["--family", "segmenter", released, "--output", tmp_path / "out"]
    with pytest.raises(SystemExit):
        convert(*words)
    assert convert(*words, "--config", other) == 0
    assert_converted(tmp_path / "out")


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def address(released: Path) -> Iterator[str]:
    handler = functools.partial(QuietHandler, directory=str(released.parent))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("name", ["seg_tiny_mask/", "seg_tiny_mask", "seg_tiny_mask/checkpoint.pth"])
def test_a_released_folder_is_fetched_from_its_address(
    name: str, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert convert("--family", "segmenter", f"{address}/{name}", "--output", tmp_path / "out") == 0
    assert_converted(tmp_path / "out")
    cached = sorted(path.name for path in (tmp_path / "cache").rglob("*") if path.is_file())
    assert cached == ["checkpoint.pth", "variant.yml"]


def test_what_was_fetched_once_needs_no_network(
    address: str, released: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    words = ["--family", "segmenter", f"{address}/seg_tiny_mask/", "--output"]
    assert convert(*words, tmp_path / "first") == 0
    shutil.rmtree(released)  # the server has nothing left
    assert convert(*words, tmp_path / "second") == 0
    assert_converted(tmp_path / "second")


def test_an_address_without_a_checkpoint_is_named(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert convert("--family", "segmenter", f"{address}/missing", "--output", tmp_path / "out") == 1
    assert "/missing/checkpoint.pth could not be fetched: HTTP Error 404" in capsys.readouterr().err


def test_mmsegmentations_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = load_case("segmenter", "tiny-mask")
    torch.save({"state_dict": mmseg_state_dict(case), "meta": {}}, tmp_path / "zoo.pth")
    (tmp_path / "zoo.json").write_text(json.dumps(mmseg_original(case)))
    words = ["--family", "segmenter", "--config", tmp_path / "zoo.json", tmp_path / "zoo.pth", "--output"]
    assert convert(*words, tmp_path / "out", "--naming", "mmseg") == 0
    model = AutoModelForSemanticSegmentation.from_pretrained(tmp_path / "out").eval()
    with torch.no_grad():
        assert_close_to_reference(model(case.pixel_values()).logits, case, "logits")
    assert convert(*words, tmp_path / "again", "--naming", "original") == 1
    assert "expected weights with the naming 'original', found 'mmseg'" in capsys.readouterr().err


@pytest.mark.parametrize("naming", [None, "mmseg"])
def test_a_preset_with_a_file_of_mmsegmentation_becomes_the_preset_of_that(
    naming: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from segvit_hf.cli import convert as command

    exported: list[Any] = []

    def record(converted: Any, folder: Path, **more: Any) -> Path:
        exported.append((converted, more["provenance"]["preset"]))
        return folder

    monkeypatch.setattr(command, "export_checkpoint", record)
    case = load_case("segmenter", "full-seg-t-mask-16-ade20k")
    monkeypatch.setattr(
        type(case), "state_dict", lambda self: {key: torch.zeros(()).expand(s) for key, s in self.shapes().items()}
    )
    torch.save({"state_dict": mmseg_state_dict(case)}, tmp_path / "zoo.pth")
    words = ["segmenter-seg-t-mask-16-ade20k", tmp_path / "zoo.pth", "--output", tmp_path / "out"]
    assert convert(*words, *([] if naming is None else ["--naming", naming])) == 0
    ((converted, preset),) = exported
    assert preset == "segmenter-mmseg-vit-t-mask-ade20k"
    assert converted.model.config.id2label[149] == "flag"
    if naming is None:
        assert "converting it as that" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: !!python/object/apply:os.abort []", "expected YAML of plain values"),
        ("a: !!python/name:os.abort", "expected YAML of plain values"),
        ("- 1", "expected a YAML dictionary, found list"),
        ("a: [", "expected YAML of plain values"),
    ],
)
def test_only_plain_values_are_read(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "variant.yml").write_text(text)
    with pytest.raises(ConversionError, match=message):
        read_plain_yaml(tmp_path / "variant.yml")


def test_nested_tuples_are_read(tmp_path: Path) -> None:
    content = {"a": (1, (2, [3, "b"])), "c": None}
    (tmp_path / "variant.yml").write_text(yaml.dump(content))
    assert read_plain_yaml(tmp_path / "variant.yml") == content
