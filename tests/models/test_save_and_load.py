"""What is saved is what is loaded, through the Auto classes, in this process and in a fresh one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSemanticSegmentation

from tests.models.architectures import SMALL_MODELS, SmallModel

# One process for all models: most of its time goes into imports.
LOAD_IN_A_FRESH_PROCESS = """
import sys
from pathlib import Path
import torch
from safetensors.torch import load_file, save_file
import segvit_hf
from transformers import AutoModelForSemanticSegmentation
torch.set_num_threads(1)
models, pixel_values, output = sys.argv[1:]
logits = {}
with torch.no_grad():
    for folder in Path(models).iterdir():
        model = AutoModelForSemanticSegmentation.from_pretrained(folder)
        logits[folder.name] = model(load_file(pixel_values)["pixel_values"]).logits
save_file(logits, output)
"""


def test_a_fresh_process_gives_bit_identical_logits(tmp_path: Path) -> None:
    pixel_values = torch.randn(1, 3, 64, 80)
    save_file({"pixel_values": pixel_values}, tmp_path / "input.safetensors")
    expected = {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the order of sums depends on the number of threads
    try:
        for name, small_model in SMALL_MODELS.items():
            model = small_model.build()
            model.save_pretrained(tmp_path / "models" / name)
            with torch.no_grad():
                expected[name] = model(pixel_values).logits
    finally:
        torch.set_num_threads(threads)
    arguments = [str(tmp_path / name) for name in ("models", "input.safetensors", "output.safetensors")]
    subprocess.run(
        [sys.executable, "-c", LOAD_IN_A_FRESH_PROCESS, *arguments],
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "HF_HUB_OFFLINE": "1"},
    )
    found = load_file(tmp_path / "output.safetensors")
    assert set(found) == set(expected)
    assert [name for name, logits in expected.items() if not torch.equal(found[name], logits)] == []


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
