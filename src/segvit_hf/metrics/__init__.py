"""Metrics that stream: their memory does not depend on the number of images."""

from .mean_iou import ConfusionMatrix

__all__ = ["ConfusionMatrix"]
