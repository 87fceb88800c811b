"""A model folder that is not whole and sound is refused in one line that says what is wrong with it."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from segvit_hf import SegmenterForSemanticSegmentation
from segvit_hf.cli import attention, predict
from segvit_hf.cli.model_loading import load_saved_model
from tests.hostile.saved_models import DAMAGES, WEIGHT, WEIGHTS, WRONG_WEIGHTS, Weights, change_weights, with_value

RunCommand = Callable[..., int]


@pytest.fixture
def damaged(model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_folder, tmp_path / "damaged"))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.new("RGB", (48, 32), (10, 200, 30)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.mark.parametrize(("change", "message"), WRONG_WEIGHTS.values(), ids=WRONG_WEIGHTS.keys())
@pytest.mark.parametrize("command", [predict, attention], ids=["predict", "attention"])
@pytest.mark.filterwarnings("ignore:Casting complex values")
def test_wrong_weights_are_named(
    command: Any,
    change: Callable[[Weights], Weights],
    message: str,
    damaged: Path,
    photo: Path,
    tmp_path: Path,
    run_command: RunCommand,
    capfd: pytest.CaptureFixture[str],
) -> None:
    change_weights(damaged, change)
    words = [tmp_path / "out"] if command is predict else ["--cls", "--output", tmp_path / "out"]
    with pytest.raises(ValueError, match=message) as error:
        run_command(command.add_arguments, damaged, photo, *words)
    assert str(damaged) in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()
    assert "LOAD REPORT" not in capfd.readouterr().err


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_floating_point_weights_of_other_widths_are_fine(dtype: torch.dtype, damaged: Path) -> None:
    expected, _ = load_saved_model(str(damaged))
    change_weights(damaged, lambda weights: {key: value.to(dtype) for key, value in weights.items()})
    model, _ = load_saved_model(str(damaged))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    for found, wanted in zip(model.parameters(), expected.parameters(), strict=True):
        assert torch.equal(found, wanted.to(dtype).float())


def test_a_weight_too_large_for_the_precision_that_is_asked_for(
    damaged: Path, photo: Path, tmp_path: Path, run_command: RunCommand
) -> None:
    change_weights(damaged, with_value(1e6))
    assert load_saved_model(str(damaged))
    with pytest.raises(ValueError, match=f"1 weights hold NaN or infinity in float16: {WEIGHT}"):
        run_command(predict.add_arguments, damaged, photo, tmp_path / "out", "--dtype", "float16")


def test_names_of_weights_do_not_reach_the_terminal_as_they_are(
    damaged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {f"\x1b[2J\nsegvit-hf: all is well {index}" + "x" * 1000: torch.zeros(1) for index in range(20)}
    change_weights(damaged, lambda weights: {**weights, **names})
    load_saved_model(str(damaged))
    shown = capsys.readouterr().err
    assert "20 weights are not used" in shown
    assert "\x1b" not in shown
    assert "\nsegvit-hf: all is well" not in shown
    assert len(shown.splitlines()[-1]) < 1500


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_folder_is_refused_in_one_line(
    damage: Callable[[Path], None],
    message: str,
    damaged: Path,
    photo: Path,
    tmp_path: Path,
    run_command: RunCommand,
) -> None:
    damage(damaged)
    with pytest.raises(ValueError, match=message) as error:
        run_command(predict.add_arguments, damaged, photo, tmp_path / "out")
    assert str(error.value).startswith(f"{damaged}: ")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_model_that_was_not_converted_yet(photo: Path, tmp_path: Path, run_command: RunCommand) -> None:
    with pytest.raises(ValueError, match="It is a released model: convert it first"):
        run_command(predict.add_arguments, "segvit-vit-b-ade20k", photo, tmp_path / "out")


def test_a_file_is_no_model(photo: Path, tmp_path: Path, run_command: RunCommand) -> None:
    with pytest.raises(ValueError, match="expected the folder of a saved model, found a file"):
        run_command(predict.add_arguments, photo, photo, tmp_path / "out")


def test_a_name_that_the_hub_does_not_give_is_one_line(photo: Path, tmp_path: Path, run_command: RunCommand) -> None:
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    with pytest.raises(ValueError, match="somebody/something: the image processor cannot be loaded") as error:
        run_command(predict.add_arguments, "somebody/something", photo, tmp_path / "out")
    assert "\n" not in str(error.value)


def test_a_device_that_computes_nothing_is_refused_once(
    model_folder: Path, photo: Path, tmp_path: Path, run_command: RunCommand
) -> None:
    with pytest.raises(ValueError, match="--device meta: expected a device that computes"):
        run_command(predict.add_arguments, model_folder, photo, tmp_path / "out", "--device", "meta")


def test_a_model_in_shards_is_checked_whole(damaged: Path) -> None:
    model = SegmenterForSemanticSegmentation.from_pretrained(damaged)
    (damaged / WEIGHTS).unlink()
    model.save_pretrained(damaged, max_shard_size="20KB")
    shards = sorted(damaged.glob("model-*.safetensors"))
    assert len(shards) > 1
    assert load_saved_model(str(damaged))
    weights = load_file(shards[-1])
    key = next(key for key in weights if key.endswith("weight"))
    save_file({**weights, key: weights[key].to(torch.int8)}, shards[-1], metadata={"format": "pt"})
    with pytest.raises(ValueError, match=rf"{key} \(I8\)"):
        load_saved_model(str(damaged))


def test_weights_of_an_older_format_are_checked_too(damaged: Path) -> None:
    weights = load_file(damaged / WEIGHTS)
    (damaged / WEIGHTS).unlink()
    torch.save(weights, damaged / "pytorch_model.bin")
    assert load_saved_model(str(damaged))
    torch.save({**weights, WEIGHT: weights[WEIGHT].to(torch.int8)}, damaged / "pytorch_model.bin")
    with pytest.raises(ValueError, match=rf"{WEIGHT} \(int8\)"):
        load_saved_model(str(damaged))
