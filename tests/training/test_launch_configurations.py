"""The launch configurations of `training/accelerate` are what `accelerate launch` accepts, and start what they say."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file

from tests.training.conftest import REPOSITORY, Scenes

FOLDER = REPOSITORY / "training" / "accelerate"
# File -> distributed type, mixed precision, whether on the CPU.
CONFIGURATIONS = {
    "cpu": ("NO", "no", True),
    "one-gpu": ("NO", "no", False),
    "one-gpu-bf16": ("NO", "bf16", False),
    "several-gpus": ("MULTI_GPU", "no", False),
    "several-gpus-bf16": ("MULTI_GPU", "bf16", False),
}


def test_accelerate_reads_every_file() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(CONFIGURATIONS)
    for name, expected in CONFIGURATIONS.items():
        config = load_config_from_file(str(FOLDER / f"{name}.yaml"))
        assert (config.distributed_type.value, config.mixed_precision, config.use_cpu) == expected


@pytest.mark.parametrize(("name", "num_processes"), [("cpu", 1), ("several-gpus", 2)])
def test_a_run_is_launched(name: str, num_processes: int, scenes: Scenes, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(FOLDER / f"{name}.yaml")]
    command += ["--num_processes", "2"] if num_processes > 1 else []
    command += ["training/finetune.py", *scenes.flags, "--stop-at-step", "1", "--output", str(tmp_path / "run")]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(REPOSITORY / "src"),
        # Two processes without GPUs.
        **({"ACCELERATE_USE_CPU": "true"} if num_processes > 1 else {}),
    }
    finished = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    state = json.loads((tmp_path / "run/checkpoints/step-00000001/training_state.json").read_text())
    assert state["num_processes"] == num_processes
