"""Every test runs without the Hub and from the same random state."""

import os
import random

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
