"""The check that every architecture makes of its training labels."""

import torch


def class_pixels(labels: torch.Tensor, num_labels: int, ignore_index: int) -> torch.Tensor:
    """
    Which pixels show a class, and not the ignore index.

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


__all__ = ["class_pixels"]
