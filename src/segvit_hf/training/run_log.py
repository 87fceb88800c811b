"""What a run reports while it goes on: JSON lines in the output folder and, if wanted, TensorBoard."""

import importlib.util
import json
import math
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from segvit_hf.files import write_text
from segvit_hf.training.recipe_parsing import RecipeError
from segvit_hf.training.stopping import named_write_errors

LOG_FILE = "log.jsonl"


def check_tensorboard(wanted: bool) -> None:
    """Says before a run that TensorBoard, if wanted, is missing.

    Raises:
        RecipeError: It is wanted but not installed.
    """
    if wanted and importlib.util.find_spec("tensorboard") is None:
        raise RecipeError(
            "logging.tensorboard: expected the package tensorboard, found none; install it (pip install tensorboard) "
            "or switch it off (--no-tensorboard)."
        )


class RunLog:
    """Appends `{"step": ..., name: value, ...}` lines to `<output>/log.jsonl`, and scalars to TensorBoard.

    Only the main process writes.

    Args:
        accelerator: That of this process.
        output: Folder of the run.
        first_step: Where the run begins. Lines of later steps, left by a run that went further than the checkpoint it
            is resumed from, go.
        tensorboard: Whether to log to TensorBoard.
        evaluation_due: Whether the evaluation after `first_step` is still to come; what an earlier try logged goes.

    Raises:
        WriteError: The log cannot be written.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        output: Path,
        first_step: int,
        tensorboard: bool,
        evaluation_due: bool = False,
    ) -> None:
        self.accelerator = accelerator
        self.path = output / LOG_FILE
        self.tensorboard = tensorboard
        if accelerator.is_main_process:
            kept = [line for line in read_log(output) if line["step"] <= first_step] if first_step else []
            if evaluation_due:
                kept = [line for line in kept if line["step"] < first_step or "evaluation/mean_iou" not in line]
            with named_write_errors(self.path):
                write_text(self.path, "".join(json.dumps(line) + "\n" for line in kept))
        if tensorboard:
            accelerator.init_trackers("tensorboard")

    def write(self, step: int, values: dict[str, float]) -> None:
        """Logs numbers after `step` optimizer steps; called by all processes.

        Raises:
            WriteError: The log cannot be written.
        """
        if self.tensorboard:
            self.accelerator.log(values, step=step)
        if self.accelerator.is_main_process:
            line: dict[str, Any] = {name: value if math.isfinite(value) else None for name, value in values.items()}
            with named_write_errors(self.path), self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, **line}) + "\n")

    def close(self) -> None:
        """Flushes TensorBoard."""
        if self.tensorboard:
            self.accelerator.end_training()


def read_log(output: Path) -> list[dict[str, Any]]:
    """The lines of a run's log so far, oldest first; none if it has not begun."""
    path = output / LOG_FILE
    if not path.is_file():
        return []
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:  # a last line that a killed run left half written
            continue
    return lines


__all__ = ["LOG_FILE", "RunLog", "check_tensorboard", "read_log"]
