"""Fine-tuning that says, in each evaluation, what its processes have in common. For torchrun."""

import sys
from typing import Any

import torch
from accelerate.utils import gather_object
from transformers import PreTrainedModel

from segvit_hf.cli.main import main
from segvit_hf.training import loop

share, evaluate = loop.share_running_statistics, loop.evaluate_model
different_before = 0


def different_statistics(model: PreTrainedModel) -> int:
    """In how many ways the processes' batch norms would normalize."""
    mine = [buffer.tolist() for name, buffer in model.named_buffers() if "running" in name]
    return len({str(statistics) for statistics in gather_object([mine])})


def watched_share(model: PreTrainedModel, *arguments: Any) -> None:
    global different_before
    different_before = different_statistics(model)
    share(model, *arguments)


def watched_evaluation(model: PreTrainedModel, *arguments: Any, **named: Any) -> Any:
    found = f"before sharing: {different_before} different; evaluated with: {different_statistics(model)} different"
    seeds = gather_object([torch.initial_seed()])
    if torch.distributed.get_rank() == 0:
        print(f"{found}; seeds: {seeds}", flush=True)
    return evaluate(model, *arguments, **named)


loop.share_running_statistics, loop.evaluate_model = watched_share, watched_evaluation
sys.exit(main(["train", *sys.argv[1:]]))
