"""Batch norm over all devices."""

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import nn
from transformers import PreTrainedModel


def synchronize_batch_norm(model: PreTrainedModel, num_processes: int, device: torch.device) -> None:
    """Makes a model's batch norms take their statistics over the pictures of all processes, in place.

    The originals that have batch norm (SETR) were trained so, with one or two pictures a GPU. Nothing changes with one
    process, and none on the CPU, where torch has no such norm. Parameters, names and what is saved stay the same.

    Args:
        model: On any device, before it is wrapped for distributed training.
        num_processes: Of the training run, one per device.
        device: That of this process.
    """
    if num_processes > 1 and device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(model)


@torch.no_grad()
def share_running_statistics(model: PreTrainedModel, accelerator: Accelerator) -> None:
    """Gives all processes the running statistics of the first, whose model is saved (called by all of them).

    Where batch norm is not synchronized (several processes on a CPU), every process has gathered its own.

    Args:
        model: Unwrapped.
        accelerator: That of this process.
    """
    if accelerator.num_processes == 1:
        return
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            for statistics in module.buffers(recurse=False):
                statistics.copy_(broadcast(statistics))


__all__ = ["share_running_statistics", "synchronize_batch_norm"]
