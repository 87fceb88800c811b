"""A few generated scenes and a recipe of a model so small that a step takes milliseconds."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState, GradientState

from segvit_hf import SegVitConfig, SegVitForSemanticSegmentation, SegVitImageProcessor
from segvit_hf.cli import main as program
from segvit_hf.training.demo.scenes import CLASS_NAMES, write_scenes

REPOSITORY = Path(__file__).parents[2]

RECIPE = """
model:
  type: segvit
  config:
    image_size: 32
    patch_size: 8
    hidden_size: 16
    num_hidden_layers: 2
    num_attention_heads: 2
    intermediate_size: 32
    drop_path_rate: 0.2
    encoder_out_indices: [0, 1]
    decoder_hidden_size: 16
    decoder_num_layers: 1
    decoder_num_attention_heads: 2
    decoder_dropout: 0.1
    num_decoder_stages: 2
    sliding_window: {crop_size: [32, 32], stride: [24, 24]}
image_processor:
  size: {shortest_edge: 32, longest_edge: 128}
data: {workers: 0}
augmentation: {size: [128, 32], crop_size: [32, 32]}
batch: {effective_size: 4, per_device_size: 2}
optimizer:
  name: adamw
  learning_rate: 1e-3
  weight_decay: 0.01
  max_gradient_norm: 5
  parameter_groups:
    - {match: '^decoder', lr_multiplier: 10}
schedule: {max_steps: 6, warmup_steps: 2}
logging: {every_steps: 1, tensorboard: false}
"""


@dataclass(frozen=True)
class Scenes:
    """Folders of generated scenes, the class list, the recipe, and the flags that name them all."""

    root: Path
    recipe: Path
    flags: list[str]
    val_images: Path
    val_annotations: Path


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Scenes:
    root = tmp_path_factory.mktemp("scenes")
    images, annotations = write_scenes(root / "train", seed=1, count=6)
    val_images, val_annotations = write_scenes(root / "val", seed=2, count=3)
    (root / "classes.txt").write_text("\n".join(CLASS_NAMES))
    (root / "recipe.yaml").write_text(RECIPE)
    flags = ["--config", root / "recipe.yaml", "--classes", root / "classes.txt"]
    flags += ["--train-images", images, "--train-annotations", annotations]
    flags += ["--val-images", val_images, "--val-annotations", val_annotations]
    return Scenes(root, root / "recipe.yaml", [str(flag) for flag in flags], val_images, val_annotations)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved SegViT of one layer for the scenes' classes, whose predictions vary within a picture."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    config = SegVitConfig(
        image_size=32,
        patch_size=8,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        encoder_out_indices=[0],
        decoder_hidden_size=16,
        decoder_num_layers=1,
        decoder_num_attention_heads=2,
        num_decoder_stages=1,
        id2label=dict(enumerate(CLASS_NAMES)),
    )
    model = SegVitForSemanticSegmentation(config)
    with torch.no_grad():  # larger weights than the usual start
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.copy_(torch.randn_like(parameter))
    model.save_pretrained(folder)
    SegVitImageProcessor(size={"shortest_edge": 40, "longest_edge": 160}).save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def _fresh_accelerator() -> Iterator[None]:
    """Accelerators of one process share their state; a test must not see an earlier one's."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def finetune(words: Sequence[object]) -> int:
    """`segvit-hf train`."""
    return program.main(["train", *map(str, words)])


def evaluate(words: Sequence[object]) -> int:
    """`segvit-hf evaluate`."""
    return program.main(["evaluate", *map(str, words)])


def run_with_torchrun(*arguments: str, status: int = 0) -> str:
    """Runs a script in two processes on the CPU; returns what it printed.

    It may take long where others use the machine, too: what hangs is ended by whoever runs the tests.
    """
    environment = {
        **os.environ,
        "ACCELERATE_USE_CPU": "true",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY / "src"), str(REPOSITORY)]),
    }
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", *arguments]
    finished = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert finished.returncode == status, finished.stdout + finished.stderr
    return finished.stdout + finished.stderr
