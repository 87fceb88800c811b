"""Metrics that stream: their memory does not depend on the number of images.

The folder `mean_iou` and the module in it have one name because `evaluate.load("<folder>")` asks for a module that is
called like its folder; what the metric is made of lies beside it.
"""

from segvit_hf.metrics.mean_iou import ConfusionMatrix

__all__ = ["ConfusionMatrix"]
