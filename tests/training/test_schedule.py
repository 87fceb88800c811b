"""The learning rate follows mmcv's poly schedule with linear warm-up, step by step."""

import pytest
import torch

from segvit_hf.training.optimization.schedule import build_scheduler, poly_learning_rate
from segvit_hf.training.recipe import ScheduleRecipe


# Worked out by hand from (base - min) * (1 - t / max) ** power + min, times 1 - (1 - t / warm-up) * (1 - ratio).
@pytest.mark.parametrize(
    ("step", "power", "minimum", "expected"),
    [
        (0, 1.0, 0.0, 2e-5 * 1e-6),
        (750, 1.0, 0.0, 2e-5 * (1 - 750 / 80000) * (1 - 0.5 * (1 - 1e-6))),
        (1499, 1.0, 0.0, 2e-5 * (78501 / 80000) * (1 - (1 / 1500) * 0.999999)),
        (1500, 1.0, 0.0, 2e-5 * 0.98125),
        (40000, 1.0, 0.0, 1e-5),
        (40000, 2.0, 0.0, 5e-6),
        (40000, 2.0, 1e-5, 1e-5 + 1e-5 * 0.25),
        (79999, 1.0, 0.0, 2.5e-10),
        (80000, 1.0, 0.0, 0.0),
        (80000, 2.0, 1e-5, 1e-5),
    ],
)
def test_learning_rate_at_a_step(step: int, power: float, minimum: float, expected: float) -> None:
    schedule = ScheduleRecipe(80000, power=power, minimum_learning_rate=minimum, warmup_steps=1500, warmup_ratio=1e-6)
    assert poly_learning_rate(step, 2e-5, schedule) == pytest.approx(expected, rel=1e-12)


def _optimizer() -> torch.optim.Optimizer:
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in (1e-3, 1e-2)]
    return torch.optim.SGD(groups)


SCHEDULE = ScheduleRecipe(10, power=0.9, minimum_learning_rate=1e-4, warmup_steps=3)


def test_every_group_decays_from_its_own_rate_to_the_same_minimum() -> None:
    optimizer = _optimizer()
    scheduler = build_scheduler(optimizer, SCHEDULE)
    for step in range(11):
        for group, base in zip(optimizer.param_groups, (1e-3, 1e-2), strict=True):
            assert group["lr"] == pytest.approx(poly_learning_rate(step, base, SCHEDULE), rel=1e-12)
        optimizer.step()
        scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([1e-4, 1e-4])


def test_a_schedule_built_after_some_steps_goes_on_where_it_was() -> None:
    first = _optimizer()
    scheduler = build_scheduler(first, SCHEDULE)
    for _ in range(4):
        first.step()
        scheduler.step()
    resumed = _optimizer()
    resumed.load_state_dict(first.state_dict())
    build_scheduler(resumed, SCHEDULE, completed_steps=4)
    assert [group["lr"] for group in resumed.param_groups] == [group["lr"] for group in first.param_groups]
