"""Checkpoints from which a run really goes on: weights, optimizer, random states and the position in the data.

A checkpoint is a folder `step-00001000` that appears under its name only when it is complete. The learning rate and
the order of the data are functions of the step (and the recipe), so the step is all they need.
"""

import logging
import random
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from segvit_hf.files import atomic_path
from segvit_hf.messages import one_line
from segvit_hf.training.checkpoint_state import (
    STATE_FILE,
    STEP_FOLDER,
    DamagedCheckpointError,
    ResumeError,
    check_files,
    read_state,
    write_state,
)
from segvit_hf.training.recipe import Recipe
from segvit_hf.training.stopping import first_message, named_write_errors

logger = logging.getLogger(__name__)


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

    Raises:
        WriteError: It cannot be written; nothing of it is left, and older checkpoints stay.
    """
    final = folder / f"step-{step:08d}"
    main = accelerator.is_main_process
    if main:
        _remove_unfinished(folder)
    with named_write_errors(final), atomic_path(final) if main else nullcontext() as place:
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
            write_state(unfinished, state)
    if main:
        for old in list_checkpoints(folder)[:-keep_last]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()
    return final


def list_checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints of a run, oldest first."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if STEP_FOLDER.fullmatch(path.name) and (path / STATE_FILE).is_file()]
    return sorted(found, key=lambda path: path.name)


def find_checkpoints(folder: Path, wanted: str) -> list[Path]:
    """The checkpoint to resume from, and after it the older ones beside it, newest first.

    Args:
        folder: That of the run's checkpoints.
        wanted: `"latest"` of `folder`, or the path of a checkpoint.

    Raises:
        ResumeError: There is none, or the path is not a complete checkpoint.
    """
    if wanted == "latest":
        checkpoints = list_checkpoints(folder)
        if not checkpoints:
            raise ResumeError(
                f"--resume latest: expected a checkpoint step-* in {folder}, found none; without --resume the run "
                "starts from the beginning."
            )
        return checkpoints[::-1]
    path = Path(wanted)
    if not (path / STATE_FILE).is_file():
        raise ResumeError(f"--resume {path}: expected a checkpoint folder with {STATE_FILE}, found none.")
    older = list_checkpoints(path.parent)[::-1] if STEP_FOLDER.fullmatch(path.name) else []
    return [path, *(checkpoint for checkpoint in older if checkpoint.name < path.name)]


def resume(
    accelerator: Accelerator,
    candidates: list[Path],
    recipe: Recipe,
    identity: dict[str, Any],
    *,
    fall_back: bool = False,
) -> tuple[Path, dict[str, Any]]:
    """Loads the first checkpoint of a list (called by all processes).

    Args:
        accelerator: Holds model and optimizer, prepared.
        candidates: Checkpoints, newest first.
        recipe: That of the run that goes on.
        identity: The same.
        fall_back: Whether damaged checkpoints are passed over.

    Returns:
        The checkpoint and its state: `step`, `num_processes`, `progress`.

    Raises:
        ResumeError: It is damaged, or belongs to another run; in all processes.
    """
    for position, checkpoint in enumerate(candidates):
        error, state = None, {}
        try:
            state = read_state(checkpoint, recipe, identity)
            load_checkpoint(accelerator, checkpoint, state)
        except DamagedCheckpointError as damage:
            error = str(damage)
        error = first_message(error, accelerator)
        if error is None:
            return checkpoint, state
        older = candidates[position + 1] if position + 1 < len(candidates) else None
        if not fall_back or older is None:
            raise ResumeError(f"{error} {_advice(older)}")
        logger.warning("%s Falling back to %s.", error, older)
    raise ResumeError("expected a checkpoint to resume from, found none.")


def load_checkpoint(accelerator: Accelerator, checkpoint: Path, state: dict[str, Any]) -> None:
    """Loads weights, optimizer, gradient scaler and this process's random states.

    Args:
        accelerator: Holds model and optimizer, prepared.
        checkpoint: Its folder.
        state: Its state. With another number of processes than `num_processes`, the data go on exactly, but dropout
            draws different numbers: processes beyond the saved ones keep the random states they have.

    Raises:
        DamagedCheckpointError: A file is missing or not as it was written.
    """
    files = state.get("files")
    if files is None:  # written before states had checksums
        _load_unchecked(accelerator, checkpoint, state["num_processes"])
        return
    error = None
    if accelerator.is_main_process:
        try:
            check_files(checkpoint, files)
        except DamagedCheckpointError as damage:
            error = str(damage)
    error = first_message(error, accelerator)
    if error is not None:
        raise DamagedCheckpointError(error)
    _load(accelerator, checkpoint, state["num_processes"])


def _load_unchecked(accelerator: Accelerator, checkpoint: Path, num_processes: int) -> None:
    try:
        _load(accelerator, checkpoint, num_processes)
    except (DamagedCheckpointError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # readers of damaged files raise anything
        reason = one_line(error, longest=200)
        raise DamagedCheckpointError(
            f"{checkpoint}: damaged: expected files that can be read, found: {reason}."
        ) from error


def _load(accelerator: Accelerator, checkpoint: Path, num_processes: int) -> None:
    accelerator.load_state(str(checkpoint))
    states = checkpoint / f"random_states_of_process_{accelerator.process_index}.pt"
    if states.is_file():
        _restore_random_states(torch.load(states, weights_only=True))
    elif accelerator.process_index < num_processes:
        raise DamagedCheckpointError(
            f"{checkpoint}: damaged: expected the random states {states.name}, found no such file."
        )


def _advice(older: Path | None) -> str:
    if older is None:
        return "There is no older checkpoint beside it."
    return f"The checkpoint before it is {older}: --fall-back goes on from there."


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


__all__ = [
    "STATE_FILE",
    "ResumeError",
    "find_checkpoints",
    "list_checkpoints",
    "load_checkpoint",
    "resume",
    "save_checkpoint",
]
