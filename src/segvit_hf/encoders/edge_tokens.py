"""More tokens than Shrunk keeps, at the edges of objects: our reading of SegViTv2's Shrunk++, which is unverified.

The paper (Zhang et al., IJCV 2024) says that its down-sampling is aware of edges. What predicts them, how many tokens
they get, and how a batch is made of images with different numbers of them was never published. Here one linear layer
predicts edges, a fixed number of tokens beside the regular grid is kept for every image, and the choice is hard.
"""

import torch
import torch.nn.functional as F
from torch import nn

from segvit_hf.encoders.configuration_vit import ViTEncoderConfig
from segvit_hf.layers.resize import Grid, pad_to_multiple


class EdgeTokens(nn.Module):
    """Keeps every second token in both directions, and those where edges are most likely.

    Nothing but the edge loss trains the prediction, and it trains nothing else: it reads detached tokens.

    Args:
        config: Gives the width and `shrink_edge_budget`.
    """

    def __init__(self, config: ViTEncoderConfig) -> None:
        super().__init__()
        self.budget = config.shrink_edge_budget
        self.classifier = nn.Linear(config.hidden_size, 1)

    def forward(
        self, hidden_states: torch.Tensor, grid: Grid, num_prefix_tokens: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Chooses tokens.

        Args:
            hidden_states: (batch, num_prefix_tokens + rows * columns, hidden_size).
            grid: Rows and columns.
            num_prefix_tokens: Tokens in front, which are all kept.

        Returns:
            (batch, num_prefix_tokens + num_kept, hidden_size), row by row, and edge logits (batch, rows, columns).
        """
        prefix, patches = hidden_states.split([num_prefix_tokens, grid[0] * grid[1]], dim=1)
        edge_logits = self.classifier(patches.detach())[..., 0]
        kept = kept_tokens(edge_logits.detach(), grid, self.budget)
        patches = patches.gather(1, kept[..., None].expand(-1, -1, patches.shape[-1]))
        return torch.cat([prefix, patches], dim=1), edge_logits.unflatten(1, grid)


def kept_tokens(edge_scores: torch.Tensor, grid: Grid, budget: int) -> torch.Tensor:
    """Indices of the tokens that are kept, the same number for every image, in rising order.

    Args:
        edge_scores: (batch, rows * columns), finite.
        grid: Rows and columns.
        budget: How many tokens are kept beside every second one in both directions; at most all.

    Returns:
        (batch, num_kept) int64.
    """
    is_regular = edge_scores.new_zeros(grid, dtype=torch.bool)
    is_regular[::2, ::2] = True
    num_regular = ((grid[0] + 1) // 2) * ((grid[1] + 1) // 2)
    num_kept = min(num_regular + budget, grid[0] * grid[1])
    scores = edge_scores.float().masked_fill(is_regular.flatten(), torch.inf)
    return scores.topk(num_kept, dim=1).indices.sort(dim=1).values


def edge_loss(edge_logits: torch.Tensor, labels: torch.Tensor, patch_size: int, ignore_index: int) -> torch.Tensor:
    """Cross entropy of "this patch shows more than one class", over patches that show any.

    Args:
        edge_logits: (batch, rows, columns).
        labels: (batch, height, width), int64.
        patch_size: Side of a patch in pixels.
        ignore_index: Label of pixels that belong to no class.
    """
    labels = pad_to_multiple(labels, patch_size, value=ignore_index)
    is_class = labels != ignore_index
    highest = F.max_pool2d(labels.float().masked_fill(~is_class, -torch.inf), patch_size)
    lowest = -F.max_pool2d((-labels.float()).masked_fill(~is_class, -torch.inf), patch_size)
    shows_any = F.max_pool2d(is_class.float(), patch_size)
    is_edge = (highest > lowest).float()  # never where there is no class: -inf is below inf
    losses = F.binary_cross_entropy_with_logits(edge_logits.float(), is_edge, reduction="none")
    return (losses * shows_any).sum() / shows_any.sum().clamp(min=1)


__all__ = ["EdgeTokens", "edge_loss", "kept_tokens"]
