"""SegViT's training loss: class cross entropy, focal mask loss and dice loss.

Query k predicts class k, so nothing is matched. Follows ATMLoss and SetCriterion of SegViT (Zhang et al., 2022), which
descend from MaskFormer's (Cheng et al., 2021).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from segvit_hf.models.mask_loss import classes_present, dice_loss, mean_mask_count
from segvit_hf.models.segvit.configuration_segvit import SegVitConfig


def ignore_dropped_patches(
    labels: torch.Tensor, kept_tokens: torch.Tensor, patch_size: int, ignore_index: int
) -> torch.Tensor:
    """`labels` (batch, height, width) with every patch outside `kept_tokens` (row-major indices) ignored."""
    rows, columns = labels.shape[1] // patch_size, labels.shape[2] // patch_size
    kept = torch.zeros(rows * columns, dtype=torch.bool, device=labels.device)
    kept[kept_tokens] = True
    kept = kept.view(rows, columns).repeat_interleave(patch_size, 0).repeat_interleave(patch_size, 1)
    return labels.masked_fill(~kept, ignore_index)


def focal_loss(
    mask_logits: torch.Tensor, targets: torch.Tensor, alpha: float = 0.25, gamma: float = 2.0
) -> torch.Tensor:
    """Sum over masks of the mean focal loss (Lin et al., 2017) of their pixels; both (num_masks, num_pixels)."""
    probabilities = mask_logits.sigmoid()
    cross_entropy = F.binary_cross_entropy_with_logits(mask_logits, targets, reduction="none")
    missed = probabilities * (1 - targets) + (1 - probabilities) * targets
    balance = alpha * targets + (1 - alpha) * (1 - targets)
    return (balance * missed**gamma * cross_entropy).mean(1).sum()


class SegVitLoss(nn.Module):
    """Loss of all supervised outputs of the decoder."""

    def __init__(self, config: SegVitConfig) -> None:
        super().__init__()
        self.config = config

    def forward(
        self, outputs: Sequence[tuple[torch.Tensor, torch.Tensor]], labels: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Args:
            outputs: Class logits (batch, num_labels, num_labels + 1) and mask logits (batch, num_labels, rows,
                columns) of every output of the decoder; the last one is the prediction.
            labels: (batch, height, width), int64; ignored pixels are background in every mask.

        Returns:
            Weighted parts: `loss_ce`, `loss_mask`, `loss_dice` of the prediction, and the same with `_0`, `_1`, ... of
            the auxiliary outputs. Their sum is the training loss.

        Raises:
            ValueError: `labels` holds an id that is neither a class nor the ignore index.
        """
        config = self.config
        present = classes_present(labels, config.num_labels, config.semantic_loss_ignore_index)
        num_masks = mean_mask_count(present)
        *auxiliary, prediction = outputs
        if config.num_supervised_outputs is not None:
            auxiliary = auxiliary[: config.num_supervised_outputs - 1]
        losses = self.output_losses(*prediction, labels, present, num_masks)
        for index, output in enumerate(auxiliary):
            parts = self.output_losses(*output, labels, present, num_masks)
            losses.update({f"{name}_{index}": part for name, part in parts.items()})
        return losses

    def output_losses(
        self,
        class_logits: torch.Tensor,
        mask_logits: torch.Tensor,
        labels: torch.Tensor,
        present: torch.Tensor,
        num_masks: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """Weighted parts of one output."""
        config = self.config
        class_ids = torch.arange(config.num_labels, device=labels.device)
        class_weights = class_logits.new_ones(config.num_labels + 1, dtype=torch.float32)
        class_weights[-1] = config.no_object_weight
        class_targets = torch.where(present, class_ids, config.num_labels)
        loss_ce = F.cross_entropy(class_logits.float().transpose(1, 2), class_targets, class_weights)
        # Only the masks of classes that are there take part: typically a tenth of all, so they are picked first.
        image_index, class_index = present.nonzero(as_tuple=True)
        masks = mask_logits[image_index, class_index].float()
        masks = F.interpolate(masks[:, None], size=labels.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
        targets = (labels[image_index] == class_index[:, None, None]).to(masks.dtype)
        masks, targets = masks.flatten(1), targets.flatten(1)
        return {
            "loss_ce": config.class_loss_weight * loss_ce,
            "loss_mask": config.mask_loss_weight * focal_loss(masks, targets) / num_masks,
            "loss_dice": config.dice_loss_weight * dice_loss(masks, targets) / num_masks,
        }


__all__ = ["SegVitLoss", "ignore_dropped_patches"]
