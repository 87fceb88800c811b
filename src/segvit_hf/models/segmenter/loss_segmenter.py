"""Segmenter's training loss: the mean cross entropy of the pixels that have a class."""

import torch
import torch.nn.functional as F
from torch import nn

from segvit_hf.models.labels import class_pixels
from segvit_hf.models.segmenter.configuration_segmenter import SegmenterConfig


class SegmenterLoss(nn.Module):
    """Follows train_one_epoch of Segmenter (Strudel et al., 2021)."""

    def __init__(self, config: SegmenterConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Args:
            logits: (batch, num_labels, height, width).
            labels: (batch, height, width), int64.

        Returns:
            `loss`, the only part. It is 0 where no pixel has a class (the original gives NaN, which would end a
            training run).

        Raises:
            ValueError: `labels` holds an id that is neither a class nor the ignore index.
        """
        num_labels, ignore_index = self.config.num_labels, self.config.semantic_loss_ignore_index
        assert num_labels is not None
        num_pixels = class_pixels(labels, num_labels, ignore_index).sum()
        total = F.cross_entropy(logits.float(), labels, ignore_index=ignore_index, reduction="sum")
        return {"loss": total / num_pixels.clamp(min=1)}


__all__ = ["SegmenterLoss"]
