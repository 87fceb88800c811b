"""Two real processes count different parts; together they must give the result of one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from segvit_hf.metrics import ConfusionMatrix
from tests.metrics.naive_mean_iou import assert_same_measures, naive_mean_iou, random_maps

REPOSITORY = Path(__file__).parents[2]

# Forked after the slow imports, which two fresh processes would repeat.
_TWO_PROCESSES = """
import multiprocessing
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as distributed

from segvit_hf.metrics.mean_iou import ConfusionMatrix

print("evaluate imported:", "evaluate" in sys.modules)

from segvit_hf.metrics.mean_iou import MeanIoU
from segvit_hf.training.process_group import leave_process_group
from tests.metrics.naive_mean_iou import random_maps

folder = sys.argv[1]
# What a run that was interrupted has left, under the names of this one.
stale = MeanIoU(num_labels=6, num_process=2, process_id=1, cache_dir=folder, experiment_id="run")
stale.add(prediction=np.zeros((50, 50), int), reference=np.ones((50, 50), int))
assert stale.compute() is None


def wait_for(name):
    while not Path(folder, name).exists():
        time.sleep(0.01)


def part(rank):
    predictions, references = random_maps(seed=8, num_labels=6, num_maps=5)
    return predictions[rank::2], references[rank::2]


def count(rank):
    distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    confusion = ConfusionMatrix(6)
    confusion.update(*part(rank))
    summed = torch.from_numpy(confusion.matrix)
    distributed.all_reduce(summed)
    np.save(f"{folder}/matrix{rank}.npy", summed.numpy())
    leave_process_group()

    # The other one begins, and removes what is stale, before this one looks for its counts; it writes them later.
    if rank == 0:
        wait_for("begun")
    metric = MeanIoU(num_labels=6, num_process=2, process_id=rank, cache_dir=folder, experiment_id="run")
    predictions, references = part(rank)
    metric.add_batch(predictions=predictions, references=references)
    if rank == 0:
        Path(folder, "looking").touch()
    else:
        Path(folder, "begun").touch()
        wait_for("looking")
        time.sleep(0.5)
    results = metric.compute()
    assert (results is None) == (rank != 0)
    if rank == 0:
        np.savez(f"{folder}/results.npz", **results)


processes = [multiprocessing.get_context("fork").Process(target=count, args=(rank,)) for rank in range(2)]
for process in processes:
    process.start()
for process in processes:
    process.join()
sys.exit(max(abs(process.exitcode) for process in processes))
"""


@pytest.fixture(scope="module")
def results_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("processes")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY / "src"), str(REPOSITORY)]),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    result = subprocess.run(
        [sys.executable, "-c", _TWO_PROCESSES, str(folder)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    (folder / "output.txt").write_text(result.stdout)
    return folder


def test_importing_the_confusion_matrix_does_not_import_evaluate(results_folder: Path) -> None:
    assert (results_folder / "output.txt").read_text().splitlines() == ["evaluate imported: False"]


def test_summed_matrices_of_two_processes_equal_one(results_folder: Path) -> None:
    whole = ConfusionMatrix(6)
    whole.update(*random_maps(seed=8, num_labels=6, num_maps=5))
    for rank in range(2):
        assert np.load(results_folder / f"matrix{rank}.npy").tolist() == whole.matrix.tolist()


def test_evaluates_protocol_collects_two_processes(results_folder: Path) -> None:
    expected = naive_mean_iou(*random_maps(seed=8, num_labels=6, num_maps=5), num_labels=6)
    with np.load(results_folder / "results.npz") as results:
        assert_same_measures(dict(results), expected)
    assert not list(results_folder.rglob("run-2-*"))


def test_a_process_that_never_comes_is_named(tmp_path: Path) -> None:
    from segvit_hf.metrics.mean_iou import MeanIoU

    metric = MeanIoU(num_labels=2, num_process=2, process_id=0, cache_dir=str(tmp_path), timeout=0.2)
    metric.add(prediction=np.array([[0]]), reference=np.array([[0]]))
    with pytest.raises(TimeoutError, match="process 1 of 2 has not written"):
        metric.compute()
