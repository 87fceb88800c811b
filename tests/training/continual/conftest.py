"""A continual run over the generated scenes: three steps of two classes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.training.conftest import Scenes, finetune

PLAN = """
method: frozen
steps: [[meadow, sky], [house, tree], [pond, balloon]]
later_steps: {schedule.max_steps: 4, schedule.warmup_steps: 1}
"""
Run = Callable[..., Path]


@pytest.fixture(scope="session")
def plan(scenes: Scenes) -> Path:
    path = scenes.root / "steps.yaml"
    path.write_text(PLAN)
    return path


@pytest.fixture
def flags(scenes: Scenes, plan: Path) -> list[str]:
    """Of a SegViTv2, evaluated after every step only."""
    version_2 = ["--set", "model.config.shared_class_head=true"]
    return [*scenes.flags, *version_2, "--continual", str(plan), "--set", "checkpoint.every_steps=2"]


@pytest.fixture
def run(flags: list[str], tmp_path: Path) -> Run:
    def run(name: str, *words: str, status: int = 0) -> Path:
        assert finetune([*flags, "--output", tmp_path / name, *words]) == status
        return tmp_path / name

    return run
