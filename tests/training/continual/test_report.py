"""The report: means over classes from one confusion matrix, pixels that changed sides, a table and a plot."""

from pathlib import Path

import numpy as np
import pytest

from segvit_hf.training.checkpoint_state import ResumeError
from segvit_hf.training.continual.report import ContinualReport, StepScores, read_report
from segvit_hf.training.continual.report_picture import draw_lines

# Classes 0 and 1 in the first step, 2 in the second, 3 in the third; nothing is ever class 1.
MATRIX = np.array([[6, 0, 1, 1], [0, 0, 0, 0], [2, 0, 4, 2], [0, 0, 0, 3]])


def test_scores_are_those_of_the_groups_of_classes() -> None:
    scores = StepScores.from_confusion(["d"], [2, 1, 1], MATRIX)
    iou = [6 / 10, None, 4 / 9, 3 / 6]
    assert scores.iou == [pytest.approx(value) if value is not None else None for value in iou]
    assert scores.first == pytest.approx(0.6)
    assert scores.later == pytest.approx((4 / 9 + 0.5) / 2)
    assert scores.all == pytest.approx((0.6 + 4 / 9 + 0.5) / 3)
    # Classes 0 to 2 are old: 16 pixels, of which class 3 has 3.
    assert (scores.old_pixels, scores.taken_over) == (16, 3)


def test_the_first_step_has_nothing_later() -> None:
    scores = StepScores.from_confusion(["a", "b"], [2], MATRIX[:2, :2])
    assert (scores.later, scores.old_pixels, scores.taken_over) == (None, 0, 0)
    assert StepScores.from_confusion(["a"], [1], None).all is None


def report(steps: str | list[list[str]] = "100-50", num_classes: int = 50) -> ContinualReport:
    first = StepScores(["x"] * 100, first=0.5, all=0.5, old_pixels=0, taken_over=0)
    second = StepScores(["y"] * num_classes, first=0.4, later=0.25, all=0.35, old_pixels=200, taken_over=30)
    return ContinualReport({"method": "frozen", "setting": "overlapped", "steps": steps}, [first, second])


def test_the_table_has_a_row_a_step_and_the_published_rows_of_the_same_steps() -> None:
    table = report().table()
    assert "| 0 | 100 | 50.00 | - | 50.00 | - |" in table
    assert "| 1 | 50 | 40.00 | 25.00 | 35.00 | 30 of 200 (15.0 %) |" in table
    assert "| CIT with SegViTv2 | 56.4 | 47.26 | 53.35 |" in table
    assert "published" not in report([["a"], ["b"]]).table()
    assert "published" not in report(num_classes=5).table()


def test_a_report_is_read_again(tmp_path: Path) -> None:
    assert read_report(tmp_path) is None
    report().write(tmp_path)
    assert read_report(tmp_path) == report()
    (tmp_path / "continual.json").write_text("{")
    with pytest.raises(ResumeError, match=r"continual\.json: expected the report of a continual run"):
        read_report(tmp_path)


def test_the_plot_shows_every_line() -> None:
    picture = np.asarray(draw_lines({"a": [0.5, 0.25], "b": [None, 0.4]}))
    assert picture.shape == (400, 640, 3)
    for color in ((31, 119, 180), (214, 39, 40)):
        assert (picture == color).all(-1).sum() > 50
    assert np.asarray(draw_lines({"a": [None]})).shape == (400, 640, 3)
