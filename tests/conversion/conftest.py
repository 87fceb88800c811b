"""A small released-like checkpoint file and its configuration."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from segvit_hf.conversion import ConvertedCheckpoint, convert_checkpoint
from tests.reference import ReferenceCase, load_case


@dataclass(frozen=True)
class CheckpointFiles:
    """A `.pth` file as mmcv writes it, its configuration as JSON, and the case that both come from."""

    case: ReferenceCase
    weights: Path
    config: Path


@pytest.fixture
def checkpoint_files(tmp_path: Path) -> CheckpointFiles:
    case = load_case("segvit", "tiny-atm1")
    files = CheckpointFiles(case, tmp_path / "latest.pth", tmp_path / "original.json")
    meta = {"CLASSES": ("wall", "sky", "tree", "road", "car", "dog"), "epoch": 1}
    torch.save({"meta": meta, "state_dict": case.state_dict(), "optimizer": {}}, files.weights)
    files.config.write_text(json.dumps({"model": case.arch}))
    return files


@pytest.fixture
def converted() -> ConvertedCheckpoint:
    case = load_case("segvit", "tiny-atm1")
    return convert_checkpoint("segvit", case.state_dict(), {"model": case.arch})
