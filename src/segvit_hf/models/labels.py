"""The check that every architecture makes of its training labels, and the cross entropy that some of them share."""

import torch
import torch.nn.functional as F


def class_pixels(labels: torch.Tensor, num_labels: int, ignore_index: int) -> torch.Tensor:
    """Which pixels show a class, and not the ignore index.

    Args:
        labels: (batch, height, width), int64.

    Returns:
        Of the same shape, bool.

    Raises:
        ValueError: An id is neither a class nor `ignore_index`.
    """
    is_class = (labels >= 0) & (labels < num_labels)
    unknown = labels[~is_class & (labels != ignore_index)]
    if unknown.numel():
        raise ValueError(
            f"labels: expected class ids 0 to {num_labels - 1} (num_labels = {num_labels}) or {ignore_index} "
            f"(ignored), found {sorted(set(unknown.tolist()))[:10]}."
        )
    return is_class


def cross_entropy_over_all_pixels(logits: torch.Tensor, labels: torch.Tensor, ignore_index: int) -> torch.Tensor:
    """Mmsegmentation's cross entropy, summed over the pixels that have a class, divided by the number of ALL pixels.

    Args:
        logits: (batch, num_labels, height, width).
        labels: (batch, height, width), int64, `ignore_index` where there is no class.

    Returns:
        A scalar, float32.
    """
    total = F.cross_entropy(logits.float(), labels, ignore_index=ignore_index, reduction="sum")
    return total / labels.numel()


__all__ = ["class_pixels", "cross_entropy_over_all_pixels"]
