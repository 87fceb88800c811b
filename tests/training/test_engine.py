"""What the engine does to weights, step by step: accumulation, clipping, schedule, precision, seeds, settings."""

from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from segvit_hf.data.label_sets import get_label_set
from segvit_hf.training.job import build_accelerator, prepare_job
from segvit_hf.training.model_building import build_config, build_model
from segvit_hf.training.optimization.parameter_groups import build_optimizer
from segvit_hf.training.recipe import OptimizerRecipe, load_recipe
from segvit_hf.training.run_log import read_log
from tests.training.conftest import Scenes, finetune

# Cross entropy over crops without padding, no dropout and plain SGD: what happens to a weight is easily predicted.
RECIPE = """
model:
  type: segmenter
  config:
    image_size: 32
    patch_size: 16
    hidden_size: 16
    num_hidden_layers: 1
    num_attention_heads: 2
    intermediate_size: 32
    decoder_type: linear
    drop_path_rate: 0.0
image_processor: {size: {shortest_edge: 32, longest_edge: 128}}
data: {workers: 0}
augmentation: {size: [128, 32], scale_range: null, crop_size: [32, 32]}
batch: {effective_size: 4, per_device_size: 4}
optimizer: {name: sgd, learning_rate: 1.0, momentum: 0.0}
schedule: {max_steps: 1}
evaluation: {keep_best: false}
logging: {every_steps: 1, tensorboard: false}
"""


def flags_of(scenes: Scenes, folder: Path) -> list[str]:
    (folder / "recipe.yaml").write_text(RECIPE)
    return ["--config", str(folder / "recipe.yaml"), *scenes.flags[2:]]


def trained(scenes: Scenes, folder: Path, name: str, *settings: str) -> dict[str, torch.Tensor]:
    words = [word for setting in settings for word in ("--set", setting)]
    assert finetune([*flags_of(scenes, folder), *words, "--output", folder / name]) == 0
    return load_file(folder / name / "model" / "model.safetensors")


def start(scenes: Scenes, folder: Path) -> dict[str, torch.Tensor]:
    return trained(scenes, folder, "start", "optimizer.learning_rate=1e-30")


def distance(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> float:
    return float(torch.stack([(first[name].double() - second[name].double()).norm() for name in first]).norm())


def test_accumulated_batches_are_one_batch(scenes: Scenes, tmp_path: Path) -> None:
    at_once = trained(scenes, tmp_path, "at once")
    two_by_two = trained(scenes, tmp_path, "two by two", "batch.per_device_size=2")
    moved = distance(at_once, start(scenes, tmp_path))
    assert moved > 0.01
    assert distance(at_once, two_by_two) < 1e-5 * moved
    losses = [read_log(tmp_path / name)[0]["loss"] for name in ("at once", "two by two")]
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)


def test_gradients_are_clipped_to_the_norm(scenes: Scenes, tmp_path: Path) -> None:
    before = start(scenes, tmp_path)
    assert distance(trained(scenes, tmp_path, "free"), before) > 0.01
    clipped = trained(scenes, tmp_path, "clipped", "optimizer.max_gradient_norm=1e-3", "batch.per_device_size=2")
    assert distance(clipped, before) == pytest.approx(1e-3, rel=1e-3)
    # What is logged is the norm before clipping.
    norm = read_log(tmp_path / "clipped")[0]["gradient_norm"]
    assert norm == pytest.approx(distance(trained(scenes, tmp_path, "again"), before), rel=1e-3)


def test_the_first_step_has_the_first_learning_rate(scenes: Scenes, tmp_path: Path) -> None:
    warming = ["schedule.max_steps=2", "schedule.warmup_steps=2", "schedule.warmup_ratio=1e-6", "schedule.power=0"]
    words = [word for setting in warming for word in ("--set", setting)]
    output = ["--output", tmp_path / "run", "--set", "checkpoint.every_steps=1"]
    assert finetune([*flags_of(scenes, tmp_path), *words, *output]) == 0
    before = start(scenes, tmp_path)
    steps = [load_file(tmp_path / "run" / "checkpoints" / f"step-0000000{n}" / "model.safetensors") for n in (1, 2)]
    assert distance(steps[0], before) < 1e-5
    assert distance(steps[1], before) > 0.01
    rates = [line["learning_rate/lr_x1_decay_x1"] for line in read_log(tmp_path / "run") if "loss" in line]
    assert rates == pytest.approx([1e-6, 0.5 + 0.5e-6])


@pytest.mark.parametrize("logged", [1, 50])
def test_a_loss_that_is_not_finite_ends_the_run(
    scenes: Scenes, tmp_path: Path, logged: int, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["optimizer.learning_rate=1e30", "schedule.max_steps=6", f"logging.every_steps={logged}"]
    words = [word for setting in [*settings, "checkpoint.every_steps=3"] for word in ("--set", setting)]
    assert finetune([*flags_of(scenes, tmp_path), *words, "--output", tmp_path / "run"]) == 2
    printed = capsys.readouterr().err
    assert "expected a finite loss, found nan" in printed
    assert "Traceback" not in printed
    # Also where the log is silent, no checkpoint holds such weights.
    assert not list((tmp_path / "run").glob("checkpoints/step-*"))
    assert not (tmp_path / "run" / "model").exists()


def test_the_recipe_gives_the_optimizer_all_its_values() -> None:
    model = torch.nn.Linear(2, 2)
    adamw = OptimizerRecipe("adamw", 1e-3, weight_decay=0.3, betas=(0.8, 0.95), epsilon=1e-5)
    built = build_optimizer(model, adamw)
    assert isinstance(built, torch.optim.AdamW)
    for group in built.param_groups:
        assert (group["lr"], group["weight_decay"]) == (1e-3, 0.3)
        assert (group["betas"], group["eps"]) == ((0.8, 0.95), 1e-5)
    sgd = build_optimizer(model, OptimizerRecipe("sgd", 1e-3, momentum=0.7, nesterov=True))
    assert isinstance(sgd, torch.optim.SGD)
    assert all((group["momentum"], group["nesterov"]) == (0.7, True) for group in sgd.param_groups)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradient_checkpointing_follows_the_recipe(tmp_path: Path, checkpointing: bool) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    recipe = load_recipe(tmp_path / "recipe.yaml", [f"runtime.gradient_checkpointing={checkpointing}"])
    classes = get_label_set("cityscapes")
    model = build_model(recipe, build_config(recipe, classes), classes).model
    layers = [module for module in model.modules() if hasattr(module, "gradient_checkpointing")]
    assert layers
    assert all(layer.gradient_checkpointing == checkpointing for layer in layers)


@pytest.mark.parametrize("unused", [False, True])
@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_the_accelerator_follows_the_recipe(tmp_path: Path, unused: bool, precision: str) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    overrides = [f"runtime.find_unused_parameters={unused}", f"runtime.mixed_precision='{precision}'"]
    accelerator = build_accelerator(load_recipe(tmp_path / "recipe.yaml", overrides), tmp_path)
    assert accelerator.ddp_handler.find_unused_parameters == unused
    assert accelerator.mixed_precision == precision


def test_the_seed_decides_the_weights_and_the_order(scenes: Scenes, tmp_path: Path) -> None:
    first, again = (trained(scenes, tmp_path, name) for name in ("first", "again"))
    other = trained(scenes, tmp_path, "other", "runtime.seed=1")
    assert distance(first, again) == 0
    assert distance(first, other) > 0.01


def test_the_job_is_what_the_recipe_says(scenes: Scenes, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    data = {
        "data.train": {"images": f"{scenes.root}/train/images", "annotations": f"{scenes.root}/train/annotations"},
        "data.classes": f"{scenes.root}/classes.txt",
    }
    job = prepare_job(load_recipe(tmp_path / "recipe.yaml", fields=data), tmp_path)
    assert (len(job.training_data), job.validation_data) == (6, None)
    assert job.model.training
    assert job.identity["class_names"] == ["sky", "meadow", "house", "tree", "pond", "balloon"]
    AcceleratorState._reset_state(reset_partial_state=True)
