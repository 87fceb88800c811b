"""SegViT's training loss: class cross entropy, focal mask loss and dice loss.

Query k predicts class k, so nothing is matched. Follows ATMLoss and SetCriterion of SegViT (Zhang et al., 2022), which
descend from MaskFormer's (Cheng et al., 2021).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from segvit_hf.layers.resize import resize_padded
from segvit_hf.models.losses import average_num_masks, classes_present, dice_loss
from segvit_hf.models.segvit.configuration_segvit import SegVitConfig

# Class logits (batch, num_labels, num_labels + 1), the last being no object, and mask logits (batch, num_labels, rows,
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
    config: SegVitConfig, predictions: Sequence[Prediction], labels: torch.Tensor
) -> dict[str, torch.Tensor]:
    """The loss of all supervised predictions of the decoder.

    Args:
        config: Gives the weights and says how many predictions are supervised.
        predictions: Those of the decoder's stages or layers; the last one is the model's.
        labels: (batch, height, width), int64; ignored pixels are background in every mask.

    Returns:
        Weighted parts: `loss_ce`, `loss_mask`, `loss_dice` of the last prediction, and the same with `_0`, `_1`, ...
        of the auxiliary ones. Their sum is the training loss.
    """
    present = classes_present(labels, config.num_labels, config.semantic_loss_ignore_index)
    num_masks = average_num_masks(present)
    *auxiliary, last = predictions
    if config.num_supervised_outputs is not None:
        auxiliary = auxiliary[: config.num_supervised_outputs - 1]
    losses = _prediction_losses(config, last, labels, present, num_masks)
    for index, prediction in enumerate(auxiliary):
        parts = _prediction_losses(config, prediction, labels, present, num_masks)
        losses.update({f"{name}_{index}": part for name, part in parts.items()})
    return losses


def _prediction_losses(
    config: SegVitConfig,
    prediction: Prediction,
    labels: torch.Tensor,
    present: torch.Tensor,
    num_masks: torch.Tensor,
) -> dict[str, torch.Tensor]:
    class_logits, mask_logits = prediction
    class_ids = torch.arange(config.num_labels, device=labels.device)
    class_weights = class_logits.new_ones(config.num_labels + 1, dtype=torch.float32)
    class_weights[-1] = config.no_object_weight
    class_targets = torch.where(present, class_ids, config.num_labels)
    loss_ce = F.cross_entropy(class_logits.float().transpose(1, 2), class_targets, class_weights)
    # Only the masks of classes that are there take part: typically a tenth of all, so they are picked first.
    image_index, class_index = present.nonzero(as_tuple=True)
    masks = mask_logits[image_index, class_index].float()
    masks = resize_padded(masks[:, None], labels.shape[-2:], config.crop_divisor)[:, 0]
    targets = (labels[image_index] == class_index[:, None, None]).to(masks.dtype)
    masks, targets = masks.flatten(1), targets.flatten(1)
    return {
        "loss_ce": config.class_loss_weight * loss_ce,
        "loss_mask": config.mask_loss_weight * sigmoid_focal_loss(masks, targets) / num_masks,
        "loss_dice": config.dice_loss_weight * dice_loss(masks, targets) / num_masks,
    }


__all__ = ["Prediction", "segvit_losses", "sigmoid_focal_loss"]
