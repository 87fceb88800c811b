"""Means of the loss and its parts between two lines of the log."""

import math
import time

import torch
from accelerate import Accelerator


class LossMeter:
    """Means of the loss and its parts since the last report, over steps and processes."""

    def __init__(self, accelerator: Accelerator, accumulation_steps: int) -> None:
        self.accelerator = accelerator
        self.accumulation_steps = accumulation_steps
        self.reset()

    def reset(self) -> None:
        """Starts a new interval."""
        self.sums: dict[str, torch.Tensor] = {}
        self.batches = 0
        self.started = time.perf_counter()

    def add(self, loss: torch.Tensor, parts: dict[str, torch.Tensor] | None) -> None:
        """Adds the loss of one batch and its named parts. Nothing waits for the device."""
        for name, value in {"loss": loss, **(parts or {})}.items():
            value = value.detach().float()
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.batches += 1

    def means(self, step: int) -> dict[str, float]:
        """Means per batch over the interval and all processes, and `seconds_per_step`; a new interval begins.

        Args:
            step: Optimizer steps completed, for the error.

        Raises:
            FloatingPointError: The loss is not finite.
        """
        values = self._finite_means(step)
        values["seconds_per_step"] = (time.perf_counter() - self.started) * self.accumulation_steps / self.batches
        self.reset()
        return values

    def check_finite(self, step: int) -> None:
        """Looks at the interval so far (called by all processes).

        Raises:
            FloatingPointError: The loss is not finite.
        """
        if self.batches:
            self._finite_means(step)

    def _finite_means(self, step: int) -> dict[str, float]:
        names = list(self.sums)
        sums = torch.stack([self.sums[name] for name in names])
        means = self.accelerator.reduce(sums / self.batches, reduction="mean")
        values = dict(zip(names, means.tolist(), strict=True))
        if not math.isfinite(values["loss"]):
            raise FloatingPointError(
                f"step {step}: expected a finite loss, found {values['loss']} (parts: {values}); try a lower "
                "optimizer.learning_rate, more schedule.warmup_steps, optimizer.max_gradient_norm, or bf16 instead of "
                "fp16."
            )
        return values


__all__ = ["LossMeter"]
