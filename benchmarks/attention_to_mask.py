"""Cost of SegViT's mask logits: one product over the full width, against the mean of logits kept for every head.

Both forms run in turn in one process, so that what counts is their ratio:

    python benchmarks/attention_to_mask.py [--threads 1] [--repeats 20]
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from segvit_hf import get_preset

PRESETS = ("segvit-vit-b-ade20k", "segvit-vit-l-ade20k", "segvit-vit-l-cocostuff10k")


def mean_over_heads(query: torch.Tensor, key: torch.Tensor, num_heads: int) -> torch.Tensor:
    """The definition: (batch, queries, tokens) as the mean of (batch, heads, queries, tokens)."""
    head_size = query.shape[-1] // num_heads
    query = query.unflatten(-1, (num_heads, head_size)).transpose(1, 2)
    key = key.unflatten(-1, (num_heads, head_size)).transpose(1, 2)
    return (query @ key.transpose(-2, -1) * head_size**-0.5).sum(1) / num_heads


def one_product(query: torch.Tensor, key: torch.Tensor, num_heads: int) -> torch.Tensor:
    """What the decoder does: the sum over heads is already in the product over the full width."""
    head_size = query.shape[-1] // num_heads
    return torch.matmul(query, key.transpose(1, 2)) * (head_size**-0.5 / num_heads)


def seconds(function: Callable[..., torch.Tensor], *arguments: torch.Tensor | int) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def main() -> None:
    """Prints a line per preset."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=20)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"{'preset':26} {'per head':>10} {'one product':>12} {'ratio':>7} {'largest difference':>20}")
    for name in PRESETS:
        config = get_preset(name).build_config()
        num_labels, num_tokens = config.num_labels, config.patch_grid[0] * config.patch_grid[1]
        width, num_heads = config.decoder_hidden_size, config.decoder_num_attention_heads
        query, key = torch.randn(2, num_labels, width), torch.randn(2, num_tokens, width)
        difference = (mean_over_heads(query, key, num_heads) - one_product(query, key, num_heads)).abs().max()
        inputs = (query, key, num_heads)
        pairs = [(seconds(mean_over_heads, *inputs), seconds(one_product, *inputs)) for _ in range(arguments.repeats)]
        per_head, product = (statistics.median(times) for times in zip(*pairs, strict=True))
        ratio = statistics.median(a / b for a, b in pairs)
        print(f"{name:26} {per_head * 1e3:8.2f}ms {product * 1e3:10.2f}ms {ratio:6.1f}x {difference:20.1e}")


if __name__ == "__main__":
    main()
