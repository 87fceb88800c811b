"""What is saved is what is loaded, through the Auto classes, in this process and in a fresh one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSemanticSegmentation

from tests.models.architectures import SmallModel

LOAD_IN_A_FRESH_PROCESS = """
import sys, torch
from safetensors.torch import load_file, save_file
import segvit_hf
from transformers import AutoModelForSemanticSegmentation
torch.set_num_threads(1)
model = AutoModelForSemanticSegmentation.from_pretrained(sys.argv[1])
with torch.no_grad():
    logits = model(load_file(sys.argv[2])["pixel_values"]).logits
save_file({"logits": logits}, sys.argv[3])
"""


def test_a_fresh_process_gives_bit_identical_logits(small_model: SmallModel, tmp_path: Path) -> None:
    model = small_model.build()
    model.save_pretrained(tmp_path / "model")
    pixel_values = torch.randn(1, 3, 64, 80)
    save_file({"pixel_values": pixel_values}, tmp_path / "input.safetensors")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the order of sums depends on the number of threads
    try:
        with torch.no_grad():
            expected = model(pixel_values).logits
    finally:
        torch.set_num_threads(threads)
    arguments = [str(tmp_path / name) for name in ("model", "input.safetensors", "output.safetensors")]
    subprocess.run(
        [sys.executable, "-c", LOAD_IN_A_FRESH_PROCESS, *arguments],
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "HF_HUB_OFFLINE": "1"},
    )
    assert torch.equal(load_file(tmp_path / "output.safetensors")["logits"], expected)


def test_another_class_count_keeps_all_other_weights(small_model: SmallModel, tmp_path: Path) -> None:
    model = small_model.build()
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSemanticSegmentation.from_pretrained(tmp_path, num_labels=3, ignore_mismatched_sizes=True)
    assert loaded(torch.randn(1, 3, 64, 64)).logits.shape[1] == 3
    for name, parameter in loaded.encoder.named_parameters():
        assert torch.equal(parameter, model.encoder.get_parameter(name)), name


def test_another_class_count_is_refused_unless_asked_for(small_model: SmallModel, tmp_path: Path) -> None:
    small_model.build().save_pretrained(tmp_path)
    with pytest.raises(RuntimeError, match="ignore_mismatched_sizes"):
        AutoModelForSemanticSegmentation.from_pretrained(tmp_path, num_labels=3)
