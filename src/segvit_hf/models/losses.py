"""What the architectures' losses share: the check of labels, cross entropy, and the loss of one mask per class."""

import torch
import torch.distributed
import torch.nn.functional as F


def check_ignore_index(ignore_index: int, num_labels: int) -> None:
    """Refuses an ignore index that a class has by accident, as the default 255 among more than 255 classes.

    Args:
        ignore_index: Label of pixels that belong to no class. 0 passes: it leaves class 0, a background, out on
            purpose.
        num_labels: Number of classes.

    Raises:
        ValueError: The class of that id could never be learned.
    """
    if 0 < ignore_index < num_labels:
        raise ValueError(
            f"semantic_loss_ignore_index: expected an id that is none of the {num_labels} classes, found "
            f"{ignore_index}. Set another one, for example 65535 or -1, in the configuration, and the same "
            "`ignore_index` in the image processor."
        )


def integer_labels(labels: torch.Tensor) -> torch.Tensor:
    """Labels of any integer dtype, or booleans for two classes, as int64.

    Raises:
        TypeError: Something else than a tensor of integers.
    """
    if not isinstance(labels, torch.Tensor) or labels.is_floating_point() or labels.is_complex():
        found = labels.dtype if isinstance(labels, torch.Tensor) else type(labels).__name__
        raise TypeError(f"labels: expected int64, found {found}.")
    return labels.to(torch.int64)


def check_labels(labels: torch.Tensor, num_labels: int, ignore_index: int) -> None:
    """Refuses labels that are neither classes nor the ignore index.

    Args:
        labels: (batch, height, width), int64.
        num_labels: Number of classes; their ids start at 0.
        ignore_index: Label of pixels that belong to no class.

    Raises:
        ValueError: With the ids that are neither.
    """
    is_known = ((labels >= 0) & (labels < num_labels)) | (labels == ignore_index)
    unknown = labels[~is_known]
    if unknown.numel():
        raise ValueError(
            f"labels: expected class ids 0 to {num_labels - 1} (num_labels = {num_labels}) or {ignore_index} "
            f"(ignored), found {sorted(set(unknown.tolist()))[:10]}."
        )


def cross_entropy(
    logits: torch.Tensor, labels: torch.Tensor, ignore_index: int, *, avg_non_ignore: bool
) -> torch.Tensor:
    """The mean cross entropy of pixels; the flag is mmsegmentation's.

    Args:
        logits: (batch, num_labels, height, width).
        labels: (batch, height, width), int64, `ignore_index` where there is no class.
        ignore_index: Label of pixels that belong to no class.
        avg_non_ignore: Whether the sum is divided by the number of pixels that have a class, or by that of ALL pixels
            (mmsegmentation's default).

    Returns:
        A scalar, float32. It is 0 where no pixel has a class (a plain mean gives NaN, which would end a training run).
    """
    total = F.cross_entropy(logits.float(), labels, ignore_index=ignore_index, reduction="sum")
    if avg_non_ignore:
        return total / (labels != ignore_index).sum().clamp(min=1)
    return total / labels.numel()


def classes_present(labels: torch.Tensor, num_labels: int, ignore_index: int) -> torch.Tensor:
    """Which classes each label map shows.

    Args:
        labels: (batch, height, width), int64, classes or `ignore_index`.
        num_labels: Number of classes.
        ignore_index: Label of pixels that belong to no class.

    Returns:
        (batch, num_labels), bool.
    """
    # Ignored pixels are counted in one extra column, which is then cut off.
    columns = torch.where(labels == ignore_index, num_labels, labels).flatten(1)
    present = labels.new_zeros(len(labels), num_labels + 1, dtype=torch.bool)
    return present.scatter_(1, columns, True)[:, :num_labels]


def average_num_masks(counts: torch.Tensor) -> torch.Tensor:
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


__all__ = [
    "average_num_masks",
    "check_ignore_index",
    "check_labels",
    "classes_present",
    "cross_entropy",
    "dice_loss",
    "integer_labels",
]
