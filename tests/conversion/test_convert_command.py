"""`segvit-hf convert`: arguments, exit statuses, messages, and the folder at the end."""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSemanticSegmentation

from segvit_hf import get_preset, list_presets
from segvit_hf.cli import convert as command
from segvit_hf.cli import main as program
from tests.conversion.conftest import CheckpointFiles
from tests.reference import load_case


def convert(*words: Any) -> int:
    return program.main(["convert", *map(str, words)])


def own(files: CheckpointFiles, output: Path, *more: Any) -> int:
    return convert("--family", "segvit", "--config", files.config, files.weights, "--output", output, *more)


def released_file(path: Path, manifest: str) -> Path:
    """A file with the names and shapes of a released one: every weight shows the same few zeros."""
    zeros = torch.zeros(())
    state_dict = {key: zeros.expand(shape) for key, shape in load_case("segvit", manifest).shapes().items()}
    torch.save({"state_dict": state_dict}, path)
    return path


def test_a_file_of_ones_own_becomes_a_folder_that_loads(
    checkpoint_files: CheckpointFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert own(checkpoint_files, tmp_path / "mine") == 0
    output = capsys.readouterr()
    assert "0.12 million parameters, 6 classes" in output.out
    assert "not used: meta (a dict of 2 entries); optimizer (a dict of 0 entries)" in output.err
    model = AutoModelForSemanticSegmentation.from_pretrained(tmp_path / "mine")
    assert model.config.id2label[1] == "sky"  # from the file's own meta
    report = json.loads((tmp_path / "mine" / "conversion_report.json").read_text())
    assert set(report["keys"]) == set(checkpoint_files.case.state_dict())
    assert report["file"] == "latest.pth"
    assert report["not_used"] == {"meta": "a dict of 2 entries", "optimizer": "a dict of 0 entries"}


def test_a_preset_with_the_other_class_count_of_its_file_is_swapped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = released_file(tmp_path / "PC59cls_64.1.pth", "full-vit-l-pcontext59")
    exported: list[Any] = []

    # Writing 1.4 GB of zeros would prove nothing more: what is to be written is looked at instead.
    def record(converted: Any, folder: Path, **more: Any) -> Path:
        exported.append((converted, more["write_card"]("folder")))
        return folder

    monkeypatch.setattr(command, "export_checkpoint", record)
    assert convert("segvit-vit-l-pascal-context", path, "--output", tmp_path / "out") == 0
    assert "has 59 classes: converting it as segvit-vit-l-pascal-context59" in capsys.readouterr().err
    ((converted, card),) = exported
    assert converted.model.config.num_labels == 59
    assert converted.image_processor.do_reduce_labels
    assert "Pascal Context (59 classes)" in card


def test_files_of_another_preset_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = released_file(tmp_path / "COCOstuff_49.9.pth", "full-vit-l-cocostuff10k")
    assert convert("segvit-vit-b-ade20k", path, "--output", tmp_path / "out") == 1
    message = capsys.readouterr().err
    assert "expected a file with 150 classes (ade_51.3.pth), found 171" in message
    assert "segvit-vit-l-cocostuff10k" in message


def test_the_list_names_every_preset(capsys: pytest.CaptureFixture[str]) -> None:
    assert convert("--list") == 0
    output = capsys.readouterr().out
    for name in list_presets():
        assert name in output
        assert get_preset(name).file.rsplit("/", 1)[-1] in output
    assert "not measured again" in output


def test_without_network_the_file_and_its_address_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert os.environ["HF_HUB_OFFLINE"] == "1"  # the whole test run is offline
    assert convert("segvit-vit-b-ade20k", "--output", tmp_path / "out") == 1
    message = capsys.readouterr().err
    assert "ade_51.3.pth could not be fetched" in message
    assert "https://huggingface.co/Akide/SegViTv1/resolve/main/ade_51.3.pth" in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["segvit-vit-b-ade20k"], "--output DIR is required"),
        (["--output", "out"], "a PRESET is required"),
        (["segvit-vit-b-ade2k", "--output", "out"], "Did you mean segvit-vit-b-ade20k"),
        (["--family", "segvit", "a.pth", "--output", "out"], "--family needs --config"),
        (["--family", "segvit", "--config", "a.json", "--output", "out"], "--family needs --config"),
        (["--family", "segvit", "--config", "a.json", "a", "b", "--output", "out"], "takes one FILE and no PRESET"),
        (["--family", "unet", "a.pth", "--output", "out"], "invalid choice: 'unet'"),
        (["segvit-vit-b-ade20k", "a.pth", "--config", "a.json", "--output", "out"], "--config goes with --family"),
    ],
)
def test_wrong_usage_exits_with_2(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        convert(*words)
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.py", "import os; os.abort()", "A configuration in Python would have to be executed"),
        ("config.json", "{'model': 1}", "expected JSON"),
        ("config.json", "[]", "expected a JSON object with the key 'model', found list"),
        ("config.json", "{}", "expected a dictionary with the key 'model'"),
        ("config.json", None, "no such file"),
    ],
)
def test_bad_configurations_are_named(
    checkpoint_files: CheckpointFiles,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    content: str | None,
    message: str,
) -> None:
    config = tmp_path / "given" / name
    config.parent.mkdir()
    if content is not None:
        config.write_text(content)
    files = CheckpointFiles(checkpoint_files.case, checkpoint_files.weights, config)
    assert own(files, tmp_path / "mine") == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "mine").exists()


def test_a_full_output_folder_is_refused_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], checkpoint_files: CheckpointFiles
) -> None:
    assert own(checkpoint_files, tmp_path / "mine") == 0
    assert own(checkpoint_files, tmp_path / "mine") == 1
    assert "--overwrite" in capsys.readouterr().err
    assert own(checkpoint_files, tmp_path / "mine", "--overwrite") == 0


def test_add_arguments_sets_a_function_to_run() -> None:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    assert callable(parser.parse_args(["--list"]).run)
