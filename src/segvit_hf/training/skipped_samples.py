"""Which samples a run could not use and went on without."""

import logging
from collections import Counter
from collections.abc import Iterable

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

logger = logging.getLogger(__name__)

_SHOWN = 10


class SkippedSamples:
    """Counts the samples that were skipped and says what was wrong with them, each once.

    Args:
        accelerator: That of this process.
        allowed: Whether samples are skipped at all; without it nothing is exchanged between processes.
    """

    def __init__(self, accelerator: Accelerator, allowed: bool) -> None:
        self.accelerator = accelerator
        self.allowed = allowed
        self.times: Counter[str] = Counter()
        self._since_last_line = 0

    def add(self, messages: Iterable[str]) -> None:
        """Counts what was wrong with samples of this process."""
        for message in messages:
            if message not in self.times:
                logger.warning("skipped: %s", message)
            self.times[message] += 1
            self._since_last_line += 1

    def for_the_log(self) -> dict[str, float]:
        """How many were skipped since the last call, by all processes (which all call)."""
        if not self.allowed:
            return {}
        mine = torch.tensor(self._since_last_line, device=self.accelerator.device)
        self._since_last_line = 0
        return {"skipped_samples": float(self.accelerator.reduce(mine, reduction="sum"))}

    def report(self) -> None:
        """Says at the end how many there were (called by all processes)."""
        if not self.allowed:
            return
        together: Counter[str] = Counter()
        for times in gather_object([dict(self.times)]) if self.accelerator.num_processes > 1 else [self.times]:
            together.update(times)
        if together:
            logger.warning(
                "%d samples were skipped, for %d reasons: %s",
                sum(together.values()),
                len(together),
                " ".join(sorted(together)[:_SHOWN]),
            )


__all__ = ["SkippedSamples"]
