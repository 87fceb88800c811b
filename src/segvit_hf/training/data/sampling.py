"""Which sample is trained on when: a fixed endless order that does not depend on processes, workers or resumes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Sampler


@dataclass(frozen=True)
class SampleRequest:
    """What the data set is asked for.

    Attributes:
        number: Place in the run, counted from 0 over all processes.
        index: Index in the data set.
    """

    number: int
    index: int


class SampleOrder:
    """An endless sequence of samples.

    Every epoch is a new permutation, drawn from `(seed, epoch)` alone, and epochs follow one another without a gap, so
    that a batch may span two of them.

    Args:
        num_samples: Length of the data set.
        seed: Of the permutations.

    Raises:
        ValueError: The data set is empty.
    """

    def __init__(self, num_samples: int, seed: int) -> None:
        if num_samples < 1:
            raise ValueError(f"num_samples: expected at least one training sample, found {num_samples}.")
        self.num_samples = num_samples
        self.seed = seed
        self._epoch = -1
        self._permutation = np.empty(0, dtype=np.int64)

    def request(self, number: int) -> SampleRequest:
        """What the `number`-th sample of the run is."""
        epoch, position = divmod(number, self.num_samples)
        if epoch != self._epoch:
            self._epoch = epoch
            self._permutation = np.random.default_rng([self.seed, epoch]).permutation(self.num_samples)
        return SampleRequest(number, int(self._permutation[position]))


def substitutes(seed: int, request: SampleRequest, num_samples: int) -> list[int]:
    """Indices of all other samples, in the order in which they may take the place of one that cannot be used.

    Args:
        seed: That of the run.
        request: What cannot be used.
        num_samples: Length of the data set.
    """
    # The 2 and the length keep these numbers apart from those of the order and of the augmentation.
    order = np.random.default_rng([seed, 2, request.number, 1]).permutation(num_samples)
    return [int(index) for index in order if index != request.index]


class TrainingBatchSampler(Sampler[list[SampleRequest]]):
    """The batches one process takes: for each optimizer step, `accumulation_steps` batches of `per_device_size`.

    Step `s` uses the samples `s * effective` to `(s + 1) * effective - 1` with `effective = per_device_size *
    num_processes * accumulation_steps`: the same samples whatever the number of processes, and those that a run
    resumed at `first_step` would have used.
    """

    def __init__(
        self,
        order: SampleOrder,
        *,
        per_device_size: int,
        accumulation_steps: int,
        first_step: int,
        last_step: int,
        process_index: int = 0,
        num_processes: int = 1,
    ) -> None:
        self.order = order
        self.per_device_size = per_device_size
        self.accumulation_steps = accumulation_steps
        self.first_step = first_step
        self.last_step = last_step
        self.process_index = process_index
        self.num_processes = num_processes

    def __len__(self) -> int:
        return max(0, self.last_step - self.first_step) * self.accumulation_steps

    def __iter__(self) -> Iterator[list[SampleRequest]]:
        at_once = self.per_device_size * self.num_processes
        for batch in range(self.first_step * self.accumulation_steps, self.last_step * self.accumulation_steps):
            start = batch * at_once + self.process_index * self.per_device_size
            yield [self.order.request(number) for number in range(start, start + self.per_device_size)]


__all__ = ["SampleOrder", "SampleRequest", "TrainingBatchSampler", "substitutes"]
