"""Segmentation by masks with classes (Cheng et al., 2021), as SegViT and Mask2Former do it."""

import torch


def semantic_inference(class_logits: torch.Tensor, mask_logits: torch.Tensor) -> torch.Tensor:
    """Scores `sum_q softmax(class logits)[q, c] * sigmoid(mask logits)[q]` of every class at every pixel.

    Args:
        class_logits: (batch, num_queries, num_labels + 1), the last being no object.
        mask_logits: (batch, num_queries, rows, columns).

    Returns:
        (batch, num_labels, rows, columns).
    """
    return torch.einsum("bqc,bqhw->bchw", class_logits.softmax(-1)[..., :-1], mask_logits.sigmoid())


__all__ = ["semantic_inference"]
