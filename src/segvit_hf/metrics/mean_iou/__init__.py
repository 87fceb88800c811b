"""Mean intersection over union: `ConfusionMatrix` (numpy only) and `MeanIoU`, the same as an `evaluate.Metric`."""

from typing import Any

from segvit_hf.metrics.mean_iou.confusion_matrix import ConfusionMatrix

__all__ = ["ConfusionMatrix", "MeanIoU"]


def __getattr__(name: str) -> Any:
    # evaluate takes seconds and hundreds of megabytes to import, so it is imported only by who asks for MeanIoU.
    if name == "MeanIoU":
        from segvit_hf.metrics.mean_iou.mean_iou import MeanIoU

        return MeanIoU
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
