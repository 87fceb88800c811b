"""The end of a process group."""

import time

import torch

_SECONDS_FOR_THREADS = 0.2


def leave_process_group() -> None:
    """Ends the process group, if there is one; after the last thing that the processes do together."""
    if not torch.distributed.is_initialized():
        return
    # torch 2.6 waits for gloo's threads without letting go of the interpreter's lock, which they need to release the
    # last tensors: without this moment it hangs more often than not.
    time.sleep(_SECONDS_FOR_THREADS)
    torch.distributed.destroy_process_group()


__all__ = ["leave_process_group"]
