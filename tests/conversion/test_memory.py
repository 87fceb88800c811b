"""Converting a file takes little more memory than its weights, however much else the file holds."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from segvit_hf.conversion.convert import expected_shapes
from segvit_hf.conversion.families import FAMILIES
from segvit_hf.conversion.key_mapping import original_name
from tests.reference import load_case

# Converts argv[2] with the configuration argv[1] to argv[3] and prints by how many KiB the peak of resident memory
# rose. (ru_maxrss would not do: a child process inherits its parent's.)
CONVERT = """
import argparse, re, sys
import segvit_hf.cli.convert

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])

parser = argparse.ArgumentParser()
segvit_hf.cli.convert.add_arguments(parser)
words = ["--family", "segvit", "--config", sys.argv[1], sys.argv[2], "--output", sys.argv[3]]
arguments = parser.parse_args(words)
before = peak()
arguments.run(arguments)
print("peak", peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak of memory from Linux's /proc")
def test_peak_memory_stays_below_twice_the_weights(tmp_path: Path) -> None:
    original = {"model": load_case("segvit", "full-vit-b-ade20k").arch}
    original["model"]["backbone"].update(num_layers=3, out_indices=[0, 1, 2])
    config = FAMILIES["segvit"].config_from_original(original)
    rules = FAMILIES["segvit"].rules(config)
    weights: dict[str, torch.Tensor] = {}
    for name, shape in expected_shapes(config).items():
        key = original_name(name, rules)
        assert key is not None, name
        weights[key] = torch.full(shape, 0.5)
    size = sum(weight.nbytes for weight in weights.values())
    moments = {index: {"exp_avg": w + 0, "exp_avg_sq": w + 0} for index, w in enumerate(weights.values())}
    torch.save({"state_dict": weights, "optimizer": {"state": moments}}, tmp_path / "weights.pth")
    (tmp_path / "original.json").write_text(json.dumps(original))
    file_size = (tmp_path / "weights.pth").stat().st_size
    assert file_size > 3 * size > 450e6
    del weights, moments

    arguments = [str(tmp_path / name) for name in ("original.json", "weights.pth", "converted")]
    result = subprocess.run(
        [sys.executable, "-c", CONVERT, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
    )
    (tmp_path / "weights.pth").unlink()  # 770 MB, which pytest would keep for three runs
    peak = int(result.stdout.split("peak ")[-1]) * 1024
    assert size * 0.8 < peak < size * 1.5, f"peak {peak / 1e6:.0f} MB for {size / 1e6:.0f} MB of weights"
