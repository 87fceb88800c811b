"""The state file of a checkpoint: where the run was, whose run it is, and whether the other files are whole."""

import json
import re
import zlib
from pathlib import Path
from typing import Any

from segvit_hf.training.recipe import Recipe

STATE_FILE = "training_state.json"
STEP_FOLDER = re.compile(r"step-(\d{8})")
# What may change between a run and its continuation: none of it decides the result. Photos and classes are compared
# by their names (the run's identity), not by where they lie.
_FREE_SECTIONS = ("evaluation", "checkpoint", "logging")
_FREE_FIELDS = {
    "model": ("init", "encoder_weights", "backbone"),
    "data": (
        "root",
        "layout",
        "train",
        "validation",
        "classes",
        "workers",
        "label_check_samples",
        "skip_unreadable",
    ),
}
_TYPES = {"step": int, "num_processes": int, "recipe": dict, "identity": dict, "progress": dict}


class ResumeError(RuntimeError):
    """A checkpoint is missing, incomplete, or belongs to another run."""


class DamagedCheckpointError(ResumeError):
    """A checkpoint is not as it was written; the message names it and the file."""


def write_state(checkpoint: Path, state: dict[str, Any]) -> None:
    """Writes the state file, the last of a checkpoint, with sizes and checksums of all the others."""
    files = {path.name: [path.stat().st_size, _checksum(path)] for path in sorted(checkpoint.iterdir())}
    text = json.dumps({**state, "files": files}, indent=2)
    (checkpoint / STATE_FILE).write_text(text + "\n", encoding="utf-8")


def read_state(checkpoint: Path, recipe: Recipe, identity: dict[str, Any]) -> dict[str, Any]:
    """The `step`, `num_processes`, `progress` and `files` of a checkpoint that is known to belong to this run.

    Args:
        checkpoint: Its folder.
        recipe: That of the run that goes on.
        identity: The same.

    Raises:
        DamagedCheckpointError: The state cannot be read, or its step is not that of the folder's name or of this run.
        ResumeError: A field that decides the result differs; the message names it and both values.
    """
    state = _parse(checkpoint)
    saved = _with_augmentation_at_the_top(state["recipe"])
    difference = _first_difference(_decisive(saved), _decisive(recipe.to_dict()))
    difference = difference or _first_difference(state["identity"], identity)
    if difference is not None:
        key, before, now = difference
        raise ResumeError(f"{checkpoint}: belongs to another run: expected {key} = {before!r}, found {now!r}.")
    _check_step(checkpoint, state["step"], recipe.schedule.max_steps)
    return state


def check_files(checkpoint: Path, files: dict[str, list[int]]) -> None:
    """Compares the files of a checkpoint with what its state says of them.

    Args:
        checkpoint: Its folder.
        files: File name -> [size in bytes, checksum], as `write_state` writes them.

    Raises:
        DamagedCheckpointError: One is missing or differs.
    """
    for name, (size, checksum) in files.items():
        path = checkpoint / name
        if not path.is_file():
            raise DamagedCheckpointError(f"{checkpoint}: damaged: expected the file {name}, found none.")
        found = path.stat().st_size
        if found != size:
            raise DamagedCheckpointError(f"{checkpoint}: damaged: expected {name} of {size} bytes, found {found}.")
        if _checksum(path) != checksum:
            raise DamagedCheckpointError(
                f"{checkpoint}: damaged: expected {name} as it was written, found other content (checksum)."
            )


def _checksum(path: Path) -> int:
    value = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            value = zlib.crc32(block, value)
    return value


def _parse(checkpoint: Path) -> dict[str, Any]:
    try:
        state = json.loads((checkpoint / STATE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedCheckpointError(
            f"{checkpoint}: damaged: expected JSON in {STATE_FILE}, found: {' '.join(str(error).split())}."
        ) from error
    for name, kind in _TYPES.items():
        value = state.get(name) if isinstance(state, dict) else None
        if type(value) is not kind:
            raise DamagedCheckpointError(
                f"{checkpoint}: damaged: expected {name} ({kind.__name__}) in {STATE_FILE}, found {value!r}."
            )
    return state


def _check_step(checkpoint: Path, step: int, max_steps: int) -> None:
    name = STEP_FOLDER.fullmatch(checkpoint.name)
    if name is not None and step != int(name[1]):
        raise DamagedCheckpointError(
            f"{checkpoint}: damaged: expected step {int(name[1])} in {STATE_FILE}, found {step}."
        )
    if not 1 <= step <= max_steps:
        raise DamagedCheckpointError(
            f"{checkpoint}: damaged: expected a step from 1 to {max_steps} in {STATE_FILE}, found {step}."
        )


def _with_augmentation_at_the_top(recipe: dict[str, Any]) -> dict[str, Any]:
    """The recipe of a checkpoint from the time when `augmentation` stood in `data`, as recipes are now."""
    data = recipe.get("data")
    if not isinstance(data, dict) or "augmentation" not in data:
        return recipe
    data = dict(data)
    return {**recipe, "data": data, "augmentation": data.pop("augmentation")}


def _decisive(recipe: dict[str, Any]) -> dict[str, Any]:
    kept = {}
    for section, value in recipe.items():
        if section in _FREE_SECTIONS:
            continue
        free = _FREE_FIELDS.get(section, ())
        is_section = isinstance(value, dict)
        kept[section] = {key: item for key, item in value.items() if key not in free} if is_section else value
    return kept


def _first_difference(saved: Any, given: Any, key: str = "") -> tuple[str, Any, Any] | None:
    if isinstance(saved, dict) and isinstance(given, dict):
        for name in [*saved, *(name for name in given if name not in saved)]:
            inner = f"{key}.{name}" if key else name
            difference = _first_difference(saved.get(name), given.get(name), inner)
            if difference is not None:
                return difference
        return None
    return None if saved == given else (key, saved, given)


__all__ = [
    "STATE_FILE",
    "STEP_FOLDER",
    "DamagedCheckpointError",
    "ResumeError",
    "check_files",
    "read_state",
    "write_state",
]
