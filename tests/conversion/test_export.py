"""The exported folder: what is in it, that it loads, and that it is written whole or not at all."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation

import segvit_hf  # noqa: F401  registers the architectures
from segvit_hf.conversion import ConversionError, ConvertedCheckpoint
from segvit_hf.conversion.export import describe_file, export_checkpoint


def export(converted: ConvertedCheckpoint, folder: Path, **changes: Any) -> Path:
    arguments: dict[str, Any] = {"provenance": {"file": "a.pth"}, "write_card": lambda name: f"# {name}\n", **changes}
    return export_checkpoint(converted, folder, **arguments)


def test_the_folder_holds_everything_and_nothing_else(converted: ConvertedCheckpoint, tmp_path: Path) -> None:
    folder = export(converted, tmp_path / "deep" / "model")
    assert {file.name for file in folder.iterdir()} == {
        "README.md",
        "config.json",
        "conversion_report.json",
        "model.safetensors",
        "preprocessor_config.json",
        "segvit_hf_auto.py",
    }
    assert [path.name for path in folder.parent.iterdir()] == ["model"]
    assert (folder / "README.md").read_text() == "# model\n"
    report = json.loads((folder / "conversion_report.json").read_text())
    assert report == {"file": "a.pth", "keys": converted.report}


def test_the_folder_loads_with_bit_identical_logits(converted: ConvertedCheckpoint, tmp_path: Path) -> None:
    folder = export(converted, tmp_path / "model")
    model = AutoModelForSemanticSegmentation.from_pretrained(folder)
    pixel_values = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model(pixel_values).logits, converted.model(pixel_values).logits)
    image_processor = AutoImageProcessor.from_pretrained(folder)
    assert type(image_processor) is type(converted.image_processor)


def test_files_have_the_permissions_of_other_new_files(converted: ConvertedCheckpoint, tmp_path: Path) -> None:
    folder = export(converted, tmp_path / "model")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "file").touch()
    assert folder.stat().st_mode == (tmp_path / "new").stat().st_mode
    assert {file.stat().st_mode for file in folder.iterdir()} == {(tmp_path / "new" / "file").stat().st_mode}


def test_an_empty_folder_is_filled(converted: ConvertedCheckpoint, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    assert (export(converted, tmp_path / "model") / "config.json").is_file()


def test_overwriting_replaces_the_files_of_a_conversion_and_no_others(
    converted: ConvertedCheckpoint, tmp_path: Path
) -> None:
    folder = export(converted, tmp_path / "model")
    (folder / "logs").mkdir()
    for name in ("notes.txt", "logs/1.txt"):
        (folder / name).write_text("mine")
        (folder / name).chmod(0o600)
    (folder / "latest").symlink_to("notes.txt")
    (folder / "model-00001-of-00002.safetensors").write_text("of an earlier, larger model")
    (folder / "config.json").write_text("{}")
    with pytest.raises(ConversionError, match="not empty.*--overwrite"):
        export(converted, folder)
    assert (folder / "notes.txt").exists()
    export(converted, folder, overwrite=True)
    for name in ("notes.txt", "logs/1.txt"):
        assert (folder / name).read_text() == "mine"
        assert (folder / name).stat().st_mode & 0o777 == 0o600
    assert os.readlink(folder / "latest") == "notes.txt"
    assert not (folder / "model-00001-of-00002.safetensors").exists()
    assert json.loads((folder / "config.json").read_text())["model_type"] == "segvit"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_overwriting_spares_folders_that_hold_no_model(converted: ConvertedCheckpoint, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("years of work")
    with pytest.raises(ConversionError, match="holds something else"):
        export(converted, tmp_path / "home", overwrite=True)
    assert (tmp_path / "home" / "thesis.tex").exists()


def test_a_file_in_the_way_is_an_error(converted: ConvertedCheckpoint, tmp_path: Path) -> None:
    (tmp_path / "model").write_text("")
    with pytest.raises(ConversionError, match="expected a folder to write to, found a file"):
        export(converted, tmp_path / "model", overwrite=True)


@pytest.mark.parametrize("exists", [False, True])
def test_a_failure_leaves_the_target_as_it_was(converted: ConvertedCheckpoint, tmp_path: Path, exists: bool) -> None:
    folder = tmp_path / "model"
    if exists:
        export(converted, folder)
    before = sorted(path.name for path in tmp_path.rglob("*"))

    def fail(name: str) -> str:
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        export(converted, folder, write_card=fail, overwrite=True)
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_a_files_description_has_its_checksum(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    (tmp_path / "a.pth").write_bytes(content)
    assert describe_file(tmp_path / "a.pth") == {
        "file": "a.pth",
        "size_in_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
