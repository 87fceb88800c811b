"""Resizing of learned position embeddings to another patch grid."""

from typing import Any

import torch
import torch.nn.functional as F

from segvit_hf.layers.resize import Grid


def resize_position_embeddings(
    position_embeddings: torch.Tensor,
    *,
    num_prefix_tokens: int,
    grid: Grid,
    new_grid: Grid,
    mode: str,
    align_corners: bool = False,
    offset: float = 0.0,
) -> torch.Tensor:
    """Interpolates the patches' position embeddings (no antialiasing) and keeps the prefix tokens'.

    Args:
        position_embeddings: (1, num_prefix_tokens + rows * columns, hidden_size).
        num_prefix_tokens: Number of leading rows that belong to no patch.
        grid: Rows and columns that are stored.
        new_grid: Rows and columns that are wanted.
        mode: `"bicubic"` or `"bilinear"`.
        align_corners: Whether the centers of the corner patches are aligned, instead of the borders.
        offset: Less than 1. Where it is not 0, positions are read at the scale (new side + `offset`) / side, whatever
            the number of rows or columns that come out: DINOv2 has 0.1. 0 reads at the ratio of the sides.

    Returns:
        (1, num_prefix_tokens + new rows * new columns, hidden_size), in the dtype that was given; the interpolation
        itself runs in float32.
    """
    prefix, patches = position_embeddings.split(
        [num_prefix_tokens, position_embeddings.shape[1] - num_prefix_tokens], dim=1
    )
    patches = patches.reshape(1, *grid, -1).permute(0, 3, 1, 2)
    target: dict[str, Any] = {"size": new_grid}
    if offset:
        target = {"scale_factor": [(new + offset) / old for new, old in zip(new_grid, grid, strict=True)]}
    resized = F.interpolate(patches.float(), **target, mode=mode, align_corners=align_corners).to(patches.dtype)
    return torch.cat([prefix, resized.flatten(2).transpose(1, 2)], dim=1)


__all__ = ["resize_position_embeddings"]
