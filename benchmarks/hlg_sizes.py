"""Parameters and multiplications of every HLG model, beside the numbers that its authors published.

Nothing is computed: the models and their inputs are on the meta device. One multiplication and addition counts as one,
as in the authors' table. Takes seconds:

    python benchmarks/hlg_sizes.py
"""

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import PreTrainedModel

from segvit_hf import get_preset, list_presets
from segvit_hf.presets import Preset

# (million parameters, billion multiplications), from the README of https://github.com/fudan-zvg/SETR. It has none of
# the segmentation models and detectors.
PUBLISHED = {
    "hlg-tiny-imagenet": (11, 2.1),
    "hlg-small-imagenet": (24, 4.7),
    "hlg-medium-imagenet": (43, 9.0),
    "hlg-large-imagenet": (84, 15.9),
}
# What else the classifiers' files may hold: more layers than the published configurations have.
OTHER_DEPTHS = {"hlg-medium-imagenet": [2, 2, 16, 2], "hlg-large-imagenet": [2, 2, 18, 2]}
DETECTION_SIZE = (800, 1280)


def input_size(preset: Preset) -> tuple[int, int]:
    """(height, width) that a model is measured at: its training crop, for detectors the usual 1280x800."""
    return DETECTION_SIZE if preset.task == "detection" else (preset.crop, preset.crop)


def multiplications(model: PreTrainedModel, size: tuple[int, int]) -> int:
    """Of convolutions, linear layers and attention for one image of (height, width)."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model(torch.empty(1, 3, *size, device="meta"))
    return counter.get_total_flops() // 2


def line(name: str, depths: list[int] | None = None) -> str:
    """One row of the table."""
    preset = get_preset(name)
    config = preset.build_config(attn_implementation="eager", **({"depths": depths} if depths else {}))
    config.sliding_window = None
    with torch.device("meta"):
        model = preset.model_class(config).eval()
    size = input_size(preset)
    parameters = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    published = PUBLISHED.get(name)
    parameters_there, products_there = ("-", "-") if published is None else map(str, published)
    return (
        f"{name:22} {config.depths!s:14} {size[1]:>5}x{size[0]:<5} {parameters:8.2f} {parameters_there:>10} "
        f"{multiplications(model, size) / 1e9:8.2f} {products_there:>10}"
    )


def main() -> None:
    """Prints the table."""
    print(
        f"{'preset':22} {'depths':14} {'input':>11} {'M param.':>8} {'published':>10} {'GMACs':>8} {'published':>10}"
    )
    for name in list_presets("hlg-*"):
        print(line(name))
        if name in OTHER_DEPTHS:
            print(line(name, OTHER_DEPTHS[name]))


if __name__ == "__main__":
    main()
