"""Multiply-adds of SegViT with ViT-L at 640x640: plain, Shrunk, and Shrunk with tokens kept at edges (unverified).

python benchmarks/shrink_edge_budget.py
"""

from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

import segvit_hf
from segvit_hf import SegVitConfig, SegVitForSemanticSegmentation

SIDE = 640


def giga_multiply_adds(config: SegVitConfig, **fields: Any) -> tuple[float, float]:
    """Of the whole model and of its encoder, for one image; nothing is computed."""
    config = SegVitConfig.from_dict({**config.to_dict(), **fields, "sliding_window": None})
    with torch.device("meta"):
        model = SegVitForSemanticSegmentation(config).eval().requires_grad_(False)
        image = torch.empty(1, 3, SIDE, SIDE)
    model.set_attn_implementation("eager")
    return _count(model, image), _count(model.encoder, image)


def _count(module: torch.nn.Module, image: torch.Tensor) -> float:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(image)
    return counter.get_total_flops() / 2e9


def main() -> None:
    """Prints the table."""
    plain = segvit_hf.get_preset("segvit-vit-l-ade20k").build_config()
    shrunk = segvit_hf.get_preset("segvit-vit-l-shrunk-ade20k").build_config()
    rows = {
        "SegViT": giga_multiply_adds(plain),
        "SegViTv2": giga_multiply_adds(plain, shared_class_head=True),
        "Shrunk": giga_multiply_adds(shrunk),
    }
    for budget in (100, 200, 400, 800, 1200):
        rows[f"Shrunk, {budget} tokens at edges"] = giga_multiply_adds(shrunk, shrink_edge_budget=budget)
    print("| model | GMAC | encoder |\n|---|---|---|")
    for name, (whole, encoder) in rows.items():
        print(f"| {name} | {whole:.1f} | {encoder:.1f} |")


if __name__ == "__main__":
    main()
