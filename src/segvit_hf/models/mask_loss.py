"""What losses over one mask per class share: the classes of an image, the number of masks, the dice loss."""

import torch
import torch.distributed

from segvit_hf.models.labels import class_pixels


def classes_present(labels: torch.Tensor, num_labels: int, ignore_index: int) -> torch.Tensor:
    """Which classes each label map shows.

    Args:
        labels: (batch, height, width), int64.

    Returns:
        (batch, num_labels), bool.

    Raises:
        ValueError: An id is neither a class nor `ignore_index`.
    """
    is_class = class_pixels(labels, num_labels, ignore_index)
    # Ignored pixels are counted in one extra column, which is then cut off.
    columns = torch.where(is_class, labels, num_labels).flatten(1)
    present = labels.new_zeros(len(labels), num_labels + 1, dtype=torch.bool)
    return present.scatter_(1, columns, True)[:, :num_labels]


def mean_mask_count(counts: torch.Tensor) -> torch.Tensor:
    """The sum of `counts` (masks of the batch: numbers, or flags), averaged over processes, at least 1."""
    count = counts.sum().float()
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(count)
        count = count / torch.distributed.get_world_size()
    return count.clamp(min=1.0)


def dice_loss(mask_logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Sum over masks of 1 - (2 |A B| + 1) / (|A| + |B| + 1); both (num_masks, num_pixels)."""
    probabilities = mask_logits.sigmoid()
    overlap = (probabilities * targets).sum(1)
    return (1 - (2 * overlap + 1) / (probabilities.sum(1) + targets.sum(1) + 1)).sum()


__all__ = ["classes_present", "dice_loss", "mean_mask_count"]
