"""SETR's training loss: cross entropy of the decoder and of every auxiliary head."""

from collections.abc import Sequence

import torch
from torch import nn

from segvit_hf.models.labels import class_pixels, cross_entropy_over_all_pixels
from segvit_hf.models.setr.configuration_setr import SetrConfig


class SetrLoss(nn.Module):
    """Follows mmsegmentation's EncoderDecoder and CrossEntropyLoss, which SETR (Zheng et al., 2021) trains with.

    Each part is summed over the pixels that have a class and divided by the number of ALL pixels, ignored ones
    included.
    """

    def __init__(self, config: SetrConfig) -> None:
        super().__init__()
        self.config = config

    def forward(
        self, logits: torch.Tensor, auxiliary_logits: Sequence[torch.Tensor], labels: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Args:
            logits: (batch, num_labels, height, width), the decoder's.
            auxiliary_logits: The same shape, one for every auxiliary head.
            labels: (batch, height, width), int64.

        Returns:
            The weighted parts by the original's names: `decode.loss_seg`, `aux_0.loss_seg`, `aux_1.loss_seg`, ...

        Raises:
            ValueError: `labels` holds an id that is neither a class nor the ignore index.
        """
        num_labels, ignore_index = self.config.num_labels, self.config.semantic_loss_ignore_index
        assert num_labels is not None
        class_pixels(labels, num_labels, ignore_index)
        losses = {"decode.loss_seg": cross_entropy_over_all_pixels(logits, labels, ignore_index)}
        for index, head_logits in enumerate(auxiliary_logits):
            weight = self.config.auxiliary_loss_weight
            losses[f"aux_{index}.loss_seg"] = weight * cross_entropy_over_all_pixels(head_logits, labels, ignore_index)
        return losses


__all__ = ["SetrLoss"]
