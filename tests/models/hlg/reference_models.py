"""The recorded HLG models, converted."""

from typing import Any

from segvit_hf.conversion import ConvertedCheckpoint, convert_checkpoint
from tests.reference import ReferenceCase

TASKS = {"cls": "classification", "det": "detection"}


def original_of(case: ReferenceCase) -> dict[str, Any]:
    """The third argument of `convert_checkpoint`."""
    names = ("test_cfg", "test_pipeline")
    original = {"model": case.arch, **{name: case.meta[name] for name in names if name in case.meta}}
    task = TASKS.get(case.name.split("-")[1])
    return original if task is None else {**original, "task": task}


def convert(case: ReferenceCase) -> ConvertedCheckpoint:
    return convert_checkpoint("hlg", case.state_dict(), original_of(case))
