"""Checkpoints from which a run really goes on: weights, optimizer, random states and the position in the data.

A checkpoint is a folder `step-00001000` that appears under its name only when it is complete. The learning rate and
the order of the data are functions of the step (and the recipe), so the step is all they need.
"""

import json
import random
import re
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from segvit_hf.files import atomic_path
from segvit_hf.training.recipe import Recipe

STATE_FILE = "training_state.json"
_STEP_FOLDER = re.compile(r"step-(\d{8})")
# What may change between a run and its continuation: none of it decides the result. Photos and classes are compared
# by their names (the run's identity), not by where they lie.
_FREE_SECTIONS = ("evaluation", "checkpoint", "logging")
_FREE_FIELDS = {
    "model": ("init", "encoder_weights"),
    "data": ("root", "layout", "train", "validation", "classes", "workers", "label_check_samples"),
}


class ResumeError(RuntimeError):
    """A checkpoint is missing, incomplete, or belongs to another run."""


def save_checkpoint(
    accelerator: Accelerator,
    folder: Path,
    step: int,
    recipe: Recipe,
    *,
    keep_last: int,
    identity: dict[str, Any],
    progress: dict[str, Any],
) -> Path:
    """Saves `folder/step-<step>` (called by all processes) and removes all but the `keep_last` newest.

    Args:
        accelerator: Holds model, optimizer and gradient scaler.
        folder: That of the run's checkpoints.
        step: Optimizer steps completed.
        recipe: That of the run.
        keep_last: How many checkpoints stay.
        identity: JSON values that a resumed run must bring again, for example the class names.
        progress: Further JSON values to hand back on resume, for example the best score so far.

    Returns:
        The checkpoint's folder.
    """
    final = folder / f"step-{step:08d}"
    main = accelerator.is_main_process
    if main:
        _remove_unfinished(folder)
    with atomic_path(final) if main else nullcontext() as place:
        # The place has a random name, which all processes have to know.
        unfinished = Path(broadcast_object_list([str(place)])[0])
        accelerator.save_state(str(unfinished))
        torch.save(_random_states(), unfinished / f"random_states_of_process_{accelerator.process_index}.pt")
        accelerator.wait_for_everyone()
        if main:
            state = {
                "step": step,
                "num_processes": accelerator.num_processes,
                "recipe": recipe.to_dict(),
                "identity": identity,
                "progress": progress,
            }
            (unfinished / STATE_FILE).write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")
    if main:
        for old in list_checkpoints(folder)[:-keep_last]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()
    return final


def list_checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints of a run, oldest first."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if _STEP_FOLDER.fullmatch(path.name) and (path / STATE_FILE).is_file()]
    return sorted(found, key=lambda path: path.name)


def find_checkpoint(folder: Path, wanted: str) -> Path:
    """The checkpoint to resume from: `"latest"` of `folder`, or the path of one.

    Raises:
        ResumeError: There is none, or the path is not a complete checkpoint.
    """
    if wanted == "latest":
        checkpoints = list_checkpoints(folder)
        if not checkpoints:
            raise ResumeError(f"--resume latest: expected a checkpoint step-* in {folder}, found none.")
        return checkpoints[-1]
    path = Path(wanted)
    if not (path / STATE_FILE).is_file():
        raise ResumeError(f"--resume {path}: expected a checkpoint folder with {STATE_FILE}, found none.")
    return path


def read_state(checkpoint: Path, recipe: Recipe, identity: dict[str, Any]) -> dict[str, Any]:
    """The `step`, `num_processes` and `progress` of a checkpoint that is known to belong to this run.

    Args:
        checkpoint: Its folder.
        recipe: That of the run that goes on.
        identity: The same.

    Raises:
        ResumeError: A field that decides the result differs; the message names it and both values.
    """
    state = json.loads((checkpoint / STATE_FILE).read_text(encoding="utf-8"))
    saved = _with_augmentation_at_the_top(state["recipe"])
    difference = _first_difference(_decisive(saved), _decisive(recipe.to_dict()))
    difference = difference or _first_difference(state["identity"], identity)
    if difference is not None:
        key, before, now = difference
        raise ResumeError(f"{checkpoint}: belongs to another run: expected {key} = {before!r}, found {now!r}.")
    return state


def load_checkpoint(accelerator: Accelerator, checkpoint: Path, num_processes: int) -> None:
    """Loads weights, optimizer, gradient scaler and this process's random states.

    Args:
        accelerator: Holds model and optimizer, prepared.
        checkpoint: Its folder.
        num_processes: Of the run that saved it. With another number now, the data go on exactly, but dropout draws
            different numbers: processes beyond the saved ones keep the random states they have.

    Raises:
        ResumeError: The random states of this process are missing.
    """
    accelerator.load_state(str(checkpoint))
    states = checkpoint / f"random_states_of_process_{accelerator.process_index}.pt"
    if states.is_file():
        _restore_random_states(torch.load(states, weights_only=True))
    elif accelerator.process_index < num_processes:
        raise ResumeError(f"{checkpoint}: expected the random states {states.name}, found none.")


def _remove_unfinished(folder: Path) -> None:
    """What a killed run left behind: nobody else writes here."""
    for place in folder.glob(".step-*.tmp"):
        shutil.rmtree(place)


def _random_states() -> dict[str, Any]:
    """Random states of this process, in types that a safe load accepts."""
    version, numbers, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": [version, list(numbers), gauss],
        "numpy": [
            str(name),
            torch.from_numpy(np.asarray(keys, dtype=np.int64)),
            int(position),
            int(has_gauss),
            float(cached),
        ],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def _restore_random_states(states: dict[str, Any]) -> None:
    version, numbers, gauss = states["python"]
    random.setstate((version, tuple(numbers), gauss))
    name, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(states["torch"])
    if states["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])


def _with_augmentation_at_the_top(recipe: dict[str, Any]) -> dict[str, Any]:
    """The recipe of a checkpoint from the time when `augmentation` stood in `data`, as recipes are now."""
    data = dict(recipe["data"])
    return {**recipe, "data": data, "augmentation": data.pop("augmentation")} if "augmentation" in data else recipe


def _decisive(recipe: dict[str, Any]) -> dict[str, Any]:
    kept = {}
    for section, value in recipe.items():
        if section in _FREE_SECTIONS:
            continue
        free = _FREE_FIELDS.get(section, ())
        kept[section] = {key: item for key, item in value.items() if key not in free} if free else value
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
    "ResumeError",
    "find_checkpoint",
    "list_checkpoints",
    "load_checkpoint",
    "read_state",
    "save_checkpoint",
]
