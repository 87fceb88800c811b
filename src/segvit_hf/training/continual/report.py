"""What a continual run remembers and forgets: scores of the first step's classes, of later ones, and of all."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from segvit_hf.files import atomic_path, write_text
from segvit_hf.metrics.mean_iou import ConfusionMatrix
from segvit_hf.training.checkpoint_state import ResumeError
from segvit_hf.training.continual.published import published_rows
from segvit_hf.training.continual.report_picture import draw_lines

REPORT_FILE = "continual.json"


@dataclass(frozen=True)
class StepScores:
    """The scores after a step, over the classes seen so far, from one confusion matrix; `None` where there are none.

    Attributes:
        classes: Names of the step's classes.
        first: Mean IoU of the first step's classes.
        later: That of all later classes.
        all: That of all classes: not the mean of the two others.
        old_pixels: Pixels of classes that were seen before this step.
        taken_over: Those of them that now count as one of this step's classes.
        iou: Of every class.
    """

    classes: list[str]
    first: float | None = None
    later: float | None = None
    all: float | None = None
    old_pixels: int | None = None
    taken_over: int | None = None
    iou: list[float | None] = field(default_factory=list)

    @classmethod
    def from_confusion(cls, classes: list[str], counts: Sequence[int], matrix: np.ndarray | None) -> "StepScores":
        """The scores of a complete confusion matrix.

        Args:
            classes: Names of the step's classes.
            counts: Number of classes of each step so far.
            matrix: int64 (num_seen, num_seen), pixels by [reference, predicted]; `None` without an evaluation.
        """
        if matrix is None:
            return cls(classes)
        confusion = ConfusionMatrix(len(matrix))
        confusion.matrix = matrix
        iou = np.asarray(confusion.compute()["per_category_iou"])
        num_old = sum(counts[:-1])
        return cls(
            classes=classes,
            first=_mean(iou[: counts[0]]),
            later=_mean(iou[counts[0] :]),
            all=_mean(iou),
            old_pixels=int(matrix[:num_old].sum()),
            taken_over=int(matrix[:num_old, num_old:].sum()),
            iou=[None if math.isnan(value) else float(value) for value in iou],
        )


@dataclass
class ContinualReport:
    """The scores after each complete step, and the plan that they belong to."""

    plan: dict[str, Any]
    steps: list[StepScores] = field(default_factory=list)

    def table(self) -> str:
        """A Markdown table, scores in percent; with the published ones below where the steps are those of a paper."""
        lines = [
            f"Method: {self.plan['method']}, {self.plan['setting']}.",
            "",
            "| step | classes | first step's | later | all | old pixels taken over |",
            "|---|---|---|---|---|---|",
        ]
        for number, step in enumerate(self.steps):
            scores = " | ".join(map(_percent, (step.first, step.later, step.all)))
            lines.append(f"| {number} | {len(step.classes)} | {scores} | {_share(step.taken_over, step.old_pixels)} |")
        published = published_rows(self.plan["steps"], sum(len(step.classes) for step in self.steps))
        if published:
            lines += ["", "As published for ADE20K, overlapped, after the last step:", ""]
            lines += ["| method | first step's | later | all |", "|---|---|---|---|"]
            lines += [f"| {name} | {first} | {later} | {every} |" for name, (first, later, every) in published.items()]
        return "\n".join(lines) + "\n"

    def write(self, folder: Path) -> None:
        """Writes `continual.json`, `report.md` and `report.png`, the first of them last."""
        write_text(folder / "report.md", self.table())
        lines = {
            "first step's classes": [step.first for step in self.steps],
            "later classes": [step.later for step in self.steps],
            "all classes": [step.all for step in self.steps],
        }
        with atomic_path(folder / "report.png") as unfinished:
            draw_lines(lines).save(unfinished, format="PNG")
        steps = [vars(step) for step in self.steps]
        write_text(folder / REPORT_FILE, json.dumps({"plan": self.plan, "steps": steps}, indent=2) + "\n")


def read_report(folder: Path) -> ContinualReport | None:
    """The report of a run so far, `None` where there is none.

    Raises:
        ResumeError: The file is damaged.
    """
    path = folder / REPORT_FILE
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return ContinualReport(content["plan"], [StepScores(**step) for step in content["steps"]])
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise ResumeError(f"{path}: expected the report of a continual run, found: {error}.") from error


def _mean(values: np.ndarray) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f}"


def _share(part: int | None, whole: int | None) -> str:
    return "-" if part is None or not whole else f"{part} of {whole} ({100 * part / whole:.1f} %)"


__all__ = ["REPORT_FILE", "ContinualReport", "StepScores", "read_report"]
