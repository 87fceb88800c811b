"""Whatever stands in a recipe, a class list or a folder of photos: one line, and no traceback."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from tests.hostile.recipes import FILES, IMPOSSIBLE_VALUES
from tests.training.conftest import RECIPE, Scenes, evaluate, finetune


def error_of(words: list[object], capfd: pytest.CaptureFixture[str], status: int = 2) -> str:
    assert finetune(words) == status
    printed = capfd.readouterr().err
    assert "Traceback" not in printed
    (line,) = [line for line in printed.splitlines() if line.strip()]
    return line


@pytest.mark.parametrize(("text", "message"), FILES)
def test_a_file_that_is_no_recipe(
    text: bytes, message: str, scenes: Scenes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(text)
    line = error_of(["--config", path], capfd)
    assert line.startswith(f"error: {path}: ")
    assert message in line
    assert line.isprintable()


@pytest.mark.parametrize(("setting", "message"), IMPOSSIBLE_VALUES)
def test_a_value_that_is_impossible(
    setting: str, message: str, scenes: Scenes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    line = error_of([*scenes.flags, "--output", tmp_path / "run", "--set", setting], capfd)
    assert line.startswith("error: ")
    assert message in line


SIZES = (
    *("image_size", "patch_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"),
    *("encoder_out_indices", "decoder_hidden_size", "decoder_num_layers", "decoder_num_attention_heads"),
    "num_decoder_stages",
)
FLAGS_OF_PATHS = [
    *("--config", "--output", "--resume", "--data-root", "--train-images", "--train-annotations", "--val-images"),
    *("--val-annotations", "--classes", "--init", "--encoder-weights"),
]


@pytest.mark.parametrize("flag", FLAGS_OF_PATHS)
def test_an_empty_text_is_no_path(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        finetune([flag, ""])
    assert f"argument {flag}: expected a path, found an empty text." in capsys.readouterr().err


@pytest.mark.parametrize(
    "flag", ["--model", "--images", "--annotations", "--list-file", "--data-root", "--classes", "--output"]
)
def test_an_empty_text_is_no_path_of_an_evaluation(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        evaluate([flag, ""])
    assert f"argument {flag}: expected a path, found an empty text." in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["a folder", "a pipe or a device"])
def test_a_recipe_is_a_file(kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "recipe.yaml"
    path.mkdir() if kind == "a folder" else os.mkfifo(path)
    assert error_of(["--config", path], capfd) == f"error: {path}: expected a recipe's file, found {kind}."


@pytest.mark.parametrize("part", ["images", "annotations"])
@pytest.mark.parametrize("kind", ["a pipe, a socket or a device", "a link that leads nowhere"])
def test_a_pipe_among_the_photos(
    part: str, kind: str, scenes: Scenes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / part
    folder.mkdir()
    for path in (scenes.root / "train" / part).iterdir():
        (folder / path.name).symlink_to(path)
    odd = folder / "scene_0009.png"
    os.mkfifo(odd) if "pipe" in kind else odd.symlink_to(tmp_path / "nowhere")
    line = error_of([*scenes.flags, f"--train-{part}", folder, "--output", tmp_path / "run"], capfd)
    assert line == f"error: data.train: {odd}: expected a file among the {part}, found {kind}."


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("classes.txt", b"a\xff", "expected UTF-8"),
        ("classes.txt", b"a\x1b[2J\nb", "printable characters, found 'a\\x1b[2J'"),
        ("classes.json", b'["a", " "]', "printable characters, found ' '"),
        ("classes.json", b'["a", "a"]', "found more than once: a"),
        ("classes.json", b"[" * 100_000, "expected valid JSON"),
    ],
)
def test_a_class_list_that_is_none(
    name: str, content: bytes, message: str, scenes: Scenes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(content)
    line = error_of([*scenes.flags, "--classes", tmp_path / name, "--output", tmp_path / "run"], capfd)
    assert line.startswith("error: data.classes: class list ")
    assert message in line


def test_a_list_of_names_in_another_encoding(
    scenes: Scenes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "names.txt").write_bytes(b"scene_0000\n\xff")
    train = f"{{images: {scenes.root}/train/images, annotations: {scenes.root}/train/annotations"
    setting = f"data.train={train}, list_file: {tmp_path}/names.txt}}"
    line = error_of([*scenes.flags, "--set", setting, "--output", tmp_path / "run"], capfd)
    assert f"the list of names {tmp_path}/names.txt: expected UTF-8 text" in line


@pytest.mark.parametrize(
    ("num_classes", "reduce", "is_refused"), [(255, False, False), (256, False, True), (255, True, True)]
)
def test_more_classes_than_ids_below_the_one_that_is_ignored(
    num_classes: int, reduce: bool, is_refused: bool, scenes: Scenes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "classes.txt").write_text("\n".join(f"class {index}" for index in range(num_classes)))
    flags = [*scenes.flags, "--classes", tmp_path / "classes.txt", "--output", tmp_path / "run", "--stop-at-step", "1"]
    flags += ["--set", f"data.reduce_zero_label={str(reduce).lower()}"]
    if not is_refused:
        assert finetune(flags) == 0
        return
    largest = 254 if reduce else 255
    line = error_of(flags, capfd)
    assert f"expected at most {largest} classes, since the id 255 means that a pixel has none" in line
    assert finetune([*flags, "--set", "model.config.semantic_loss_ignore_index=65535"]) == 0


def test_the_recipe_of_these_tests_is_sound(scenes: Scenes, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    assert finetune(["--config", tmp_path / "recipe.yaml", *scenes.flags[2:], "--show-recipe"]) == 0


def spoil_weights(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if name.startswith("encoder.layers.0.") and name.endswith(".weight"))
    weights[name].view(-1)[0] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


SPOILED_MODELS: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "weights cut": (
        lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 100),
        "cannot load",
        "the model cannot be loaded",
    ),
    "weights missing": (lambda folder: (folder / "model.safetensors").unlink(), "cannot load", "cannot be loaded"),
    "NaN": (spoil_weights, "expected finite weights", "hold NaN or infinity"),
    "processor empty": (
        lambda folder: (folder / "preprocessor_config.json").write_text(""),
        "expected an image processor beside the weights",
        "the image processor cannot be loaded",
    ),
}


@pytest.mark.parametrize("damage", SPOILED_MODELS)
def test_a_damaged_model_to_start_from_or_to_evaluate(
    damage: str, scenes: Scenes, model_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(model_folder, tmp_path / "model")
    harm, at_the_start, in_evaluation = SPOILED_MODELS[damage]
    harm(tmp_path / "model")
    config = (
        "model.config={"
        + ", ".join(
            f"{name}: {value}"
            for name, value in json.loads((model_folder / "config.json").read_text()).items()
            if name in SIZES
        )
        + "}"
    )
    words = [*scenes.flags, "--init", tmp_path / "model", "--set", config, "--output", tmp_path / "run"]
    line = error_of(words, capfd)
    assert line.startswith("error: model.init: ")
    assert at_the_start in line
    words = ["--model", tmp_path / "model", "--images", scenes.val_images, "--annotations", scenes.val_annotations]
    assert evaluate(words) == 2
    printed = capfd.readouterr().err
    assert "Traceback" not in printed
    assert f"error: --model {tmp_path / 'model'}: " in printed
    assert in_evaluation in printed
