"""Losses over masks are divided by the mean number of masks of all processes: exact, in two real ones."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

# Forked after the slow imports, which two fresh processes would repeat.
_TWO_PROCESSES = """
import json
import multiprocessing
import sys

import torch
import torch.distributed as distributed

from tests.models.architectures import SMALL_MODELS

folder = sys.argv[1]
MODELS = ["segvit", "segvit-shrunk", "vit-adapter-beit-mask2former"]


def losses(rank):
    # Process 0 sees one class in each image, process 1 sees four.
    labels = torch.arange(64 * 64).reshape(1, 64, 64).expand(2, -1, -1) % 4 if rank else torch.ones(2, 64, 64)
    found = {}
    for name in MODELS:
        torch.manual_seed(0)
        with torch.no_grad():
            output = SMALL_MODELS[name].build()(torch.randn(2, 3, 64, 64), labels=labels.to(torch.int64))
        found[name] = {part: value.item() for part, value in output.losses.items()}
    return found


def run(rank):
    torch.set_num_threads(1)
    alone = losses(rank)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    together = losses(rank)
    distributed.destroy_process_group()
    with open(f"{folder}/{rank}.json", "w") as file:
        json.dump({"alone": alone, "together": together}, file)


processes = [multiprocessing.get_context("fork").Process(target=run, args=(rank,)) for rank in range(2)]
for process in processes:
    process.start()
for process in processes:
    process.join()
sys.exit(max(abs(process.exitcode) for process in processes))
"""


def test_the_mean_number_of_masks_divides_the_loss(tmp_path: Path) -> None:
    outcome = subprocess.run(
        [sys.executable, "-c", _TWO_PROCESSES, str(tmp_path)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY / "src"), str(REPOSITORY)]),
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
        },
        capture_output=True,
        text=True,
    )
    assert outcome.returncode == 0, outcome.stderr
    num_masks = [2, 8]
    mean = sum(num_masks) / 2
    for rank, own in enumerate(num_masks):
        losses = json.loads((tmp_path / f"{rank}.json").read_text())
        num_parts = 0
        for name, parts in losses["alone"].items():
            for part, alone in parts.items():
                is_of_masks = "mask" in part or "dice" in part
                num_parts += is_of_masks
                expected = alone * own / mean if is_of_masks else alone
                assert losses["together"][name][part] == pytest.approx(expected, rel=1e-5), f"{name}: {part}"
        assert num_parts >= 10
