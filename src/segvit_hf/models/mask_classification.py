"""Segmentation by masks with classes (Cheng et al., 2021), as SegViT, SegViTv2 and Mask2Former do it."""

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


def presence_inference(presence_logits: torch.Tensor, mask_logits: torch.Tensor) -> torch.Tensor:
    """Scores `softmax(presence logits)[c, 0] * sigmoid(mask logits)[c]`, for one query a class (SegViTv2).

    Args:
        presence_logits: (batch, num_labels, 2): the class is in the image, or not.
        mask_logits: (batch, num_labels, rows, columns).

    Returns:
        (batch, num_labels, rows, columns), between 0 and 1; the scores of a class depend on no other class.
    """
    return presence_logits.softmax(-1)[..., :1, None] * mask_logits.sigmoid()


__all__ = ["presence_inference", "semantic_inference"]
