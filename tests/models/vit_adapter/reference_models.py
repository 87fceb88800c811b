"""Our ViT-Adapter with the weights of a reference case."""

import torch

from segvit_hf.conversion import ConvertedCheckpoint, convert_checkpoint
from segvit_hf.encoders.beit import relative_positions
from tests.reference import ReferenceCase


def relative_position_indices(case: ReferenceCase) -> dict[str, torch.Tensor]:
    """The index tables that the original BEiT computes in its constructor, by original name."""
    backbone = case.arch["backbone"]
    if backbone["type"] != "BEiTAdapter":
        return {}
    grid = (backbone["img_size"] // 16, backbone["img_size"] // 16)
    index = relative_positions(grid, grid, torch.device("cpu")).index
    return {f"backbone.blocks.{i}.attn.relative_position_index": index for i in range(backbone["depth"])}


def state_dict_of(case: ReferenceCase) -> dict[str, torch.Tensor]:
    """The original's state dict, index tables included."""
    return case.state_dict(relative_position_indices(case))


def convert(case: ReferenceCase) -> ConvertedCheckpoint:
    """Our model and image processor."""
    original = {
        "model": case.arch,
        "test_pipeline": case.meta.get("protocol", {}).get("test_pipeline"),
        "reduce_zero_label": case.meta.get("protocol", {}).get("reduce_zero_label", False),
    }
    return convert_checkpoint("vit_adapter", state_dict_of(case), original)
