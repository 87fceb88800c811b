"""Inference: sliding windows, test-time augmentation and `segment`, from a photo to its label map."""

from segvit_hf.inference.segment import segment

__all__ = ["segment"]
