"""Every test runs without the Hub, from the same random state, and as if in the foreground."""

import os
import random
import signal
from collections.abc import Iterator

# Before anything imports huggingface_hub, which reads it once: a test that would reach for the Hub fails at once.
os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import pytest
import torch


@pytest.fixture(autouse=True)
def _seeded_random_state() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True, scope="session")
def _in_the_foreground() -> Iterator[None]:
    """A background job inherits that Ctrl-C is ignored, and so would the processes that tests start."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)
