"""SegViT's training loss: class cross entropy, focal mask loss and dice loss.

Query k predicts class k, so nothing is matched. Follows ATMLoss and SetCriterion of SegViT (Zhang et al., 2022), which
descend from MaskFormer's (Cheng et al., 2021), and their form for SegViTv2's head in
https://github.com/zbwxp/Dynamic-Token-Pruning, whose class loss tells present from absent.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from segvit_hf.layers.resize import resize_padded
from segvit_hf.models.class_groups import class_ranges
from segvit_hf.models.losses import average_num_masks, classes_present, dice_loss
from segvit_hf.models.segvit.configuration_segvit import SegVitConfig

# Of a group of classes: class logits (batch, num_classes, num_classes + 1), the last being no object, or
# (batch, num_classes, 2), present and absent, with a shared class head; and mask logits (batch, num_classes, rows,
# columns).
Prediction = tuple[torch.Tensor, torch.Tensor]


def sigmoid_focal_loss(
    mask_logits: torch.Tensor, targets: torch.Tensor, alpha: float = 0.25, gamma: float = 2.0
) -> torch.Tensor:
    """Sum over masks of the mean focal loss (Lin et al., 2017) of their pixels; both (num_masks, num_pixels)."""
    probabilities = mask_logits.sigmoid()
    cross_entropy = F.binary_cross_entropy_with_logits(mask_logits, targets, reduction="none")
    missed = probabilities * (1 - targets) + (1 - probabilities) * targets
    balance = alpha * targets + (1 - alpha) * (1 - targets)
    return (balance * missed**gamma * cross_entropy).mean(1).sum()


def segvit_losses(
    config: SegVitConfig, groups: Sequence[Sequence[Prediction]], labels: torch.Tensor
) -> dict[str, torch.Tensor]:
    """The loss of all supervised predictions of the decoder.

    Args:
        config: Gives the weights and says how many predictions are supervised.
        groups: For each group of classes, the predictions of the decoder's stages or layers; the last is the model's.
        labels: (batch, height, width), int64; ignored pixels are background in every mask.

    Returns:
        Weighted parts: `loss_ce`, `loss_mask`, `loss_dice` of the last prediction, and the same with `_0`, `_1`, ...
        of the auxiliary ones. Their sum is the training loss.
    """
    present = classes_present(labels, config.num_labels, config.semantic_loss_ignore_index)
    num_masks = average_num_masks(present)
    *auxiliary, last = zip(*groups, strict=True)
    if config.num_supervised_outputs is not None:
        auxiliary = auxiliary[: config.num_supervised_outputs - 1]
    losses = _prediction_losses(config, last, labels, present, num_masks)
    for index, predictions in enumerate(auxiliary):
        parts = _prediction_losses(config, predictions, labels, present, num_masks)
        losses.update({f"{name}_{index}": part for name, part in parts.items()})
    return losses


def _prediction_losses(
    config: SegVitConfig,
    predictions: Sequence[Prediction],
    labels: torch.Tensor,
    present: torch.Tensor,
    num_masks: torch.Tensor,
) -> dict[str, torch.Tensor]:
    parts = []
    for (class_logits, mask_logits), classes in zip(predictions, class_ranges(config), strict=True):
        parts.append(
            (
                *_class_loss_sums(config, class_logits, present, classes),
                *_mask_loss_sums(config, mask_logits, labels, present, classes),
            )
        )
    class_loss, class_weight, mask_loss, mask_dice = (torch.stack(sums).sum() for sums in zip(*parts, strict=True))
    return {
        "loss_ce": config.class_loss_weight * class_loss / class_weight,
        "loss_mask": config.mask_loss_weight * mask_loss / num_masks,
        "loss_dice": config.dice_loss_weight * mask_dice / num_masks,
    }


def _class_loss_sums(
    config: SegVitConfig, class_logits: torch.Tensor, present: torch.Tensor, classes: range
) -> tuple[torch.Tensor, torch.Tensor]:
    """The weighted cross entropies of the supervised queries of a group, and their weights, summed."""
    skipped = min(max(config.first_supervised_class - classes.start, 0), len(classes))
    present = present[:, classes.start + skipped : classes.stop]
    absent = class_logits.shape[-1] - 1
    own_class = torch.arange(skipped, len(classes), device=present.device)
    targets = torch.where(present, 0 if config.shared_class_head else own_class, absent)
    weights = class_logits.new_ones(absent + 1, dtype=torch.float32)
    weights[-1] = config.no_object_weight
    logits = class_logits[:, skipped:].float().transpose(1, 2)
    return F.cross_entropy(logits, targets, weights, reduction="sum"), weights[targets].sum()


def _mask_loss_sums(
    config: SegVitConfig, mask_logits: torch.Tensor, labels: torch.Tensor, present: torch.Tensor, classes: range
) -> tuple[torch.Tensor, torch.Tensor]:
    """The focal and dice losses of the masks of a group's classes that are there, summed."""
    # Typically a tenth of all, so they are picked first.
    image_index, class_index = present[:, classes.start : classes.stop].nonzero(as_tuple=True)
    masks = mask_logits[image_index, class_index].float()
    masks = resize_padded(masks[:, None], labels.shape[-2:], config.crop_divisor)[:, 0]
    targets = (labels[image_index] == class_index[:, None, None] + classes.start).to(masks.dtype)
    masks, targets = masks.flatten(1), targets.flatten(1)
    return sigmoid_focal_loss(masks, targets), dice_loss(masks, targets)


__all__ = ["Prediction", "segvit_losses", "sigmoid_focal_loss"]
