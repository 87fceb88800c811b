"""Learning-rate schedule: polynomial decay with linear warm-up, step by step.

Same arithmetic as mmcv's `PolyLrUpdaterHook` (`by_epoch=False`), which most original recipes use: the warm-up scales
the already decaying rate, and the minimum is one absolute value for all parameter groups. With `decay_after_warmup`
that of mmengine's `LinearLR` and the `PolyLR` that follows it (SegViTv2).
"""

from collections.abc import Callable
from functools import partial

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from segvit_hf.training.recipe import ScheduleRecipe


def poly_learning_rate(step: int, base_learning_rate: float, schedule: ScheduleRecipe) -> float:
    """Learning rate of the (0-based) optimizer step `step`.

    `regular(step) = (base - minimum) * (1 - step / max_steps) ** power + minimum`; while `step < warmup_steps` it
    is multiplied by `1 - (1 - step / warmup_steps) * (1 - warmup_ratio)`. From `max_steps` on it is the minimum.
    """
    if schedule.decay_after_warmup:
        return _decayed_after_warmup(step, base_learning_rate, schedule)
    progress = min(step / schedule.max_steps, 1.0)
    minimum = schedule.minimum_learning_rate
    regular = (base_learning_rate - minimum) * (1.0 - progress) ** schedule.power + minimum
    if step < schedule.warmup_steps:
        return regular * (1.0 - (1.0 - step / schedule.warmup_steps) * (1.0 - schedule.warmup_ratio))
    return regular


def _decayed_after_warmup(step: int, base_learning_rate: float, schedule: ScheduleRecipe) -> float:
    """As mmengine, which reaches the end of a schedule with its last step: between `n` steps are `n - 1` changes."""
    if step < schedule.warmup_steps:
        share = step / max(schedule.warmup_steps - 1, 1)
        return base_learning_rate * (schedule.warmup_ratio + (1.0 - schedule.warmup_ratio) * share)
    changes = max(schedule.max_steps - schedule.warmup_steps - 1, 1)
    progress = min((step - schedule.warmup_steps) / changes, 1.0)
    minimum = schedule.minimum_learning_rate
    return (base_learning_rate - minimum) * (1.0 - progress) ** schedule.power + minimum


def build_scheduler(optimizer: Optimizer, schedule: ScheduleRecipe, completed_steps: int = 0) -> LambdaLR:
    """The schedule as a `LambdaLR` that is to be stepped once after every optimizer step.

    Args:
        optimizer: Its groups' `initial_lr` (set here from `lr` if absent) are the base rates.
        schedule: The recipe's.
        completed_steps: Optimizer steps already taken (after a resume); the rate is a function of the step alone, so a
            scheduler has no other state to save.
    """
    for group in optimizer.param_groups:
        group.setdefault("initial_lr", group["lr"])
    factors: list[Callable[[int], float]] = [
        partial(_factor, base=group["initial_lr"], schedule=schedule) for group in optimizer.param_groups
    ]
    return LambdaLR(optimizer, factors, last_epoch=completed_steps - 1)


def _factor(step: int, base: float, schedule: ScheduleRecipe) -> float:
    return poly_learning_rate(step, base, schedule) / base


__all__ = ["build_scheduler", "poly_learning_rate"]
