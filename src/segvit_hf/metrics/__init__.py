"""Metrics that stream: their memory does not depend on the number of images."""

from segvit_hf.metrics.mean_iou import ConfusionMatrix

__all__ = ["ConfusionMatrix"]
