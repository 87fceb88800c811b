"""The configuration field that says how inputs larger than the training crop are run."""

from collections.abc import Mapping, Sequence
from typing import Any

from segvit_hf.encoders.configuration_vit import as_pair


def validated_sliding_window(sliding_window: Any) -> dict[str, Any] | None:
    """`config.sliding_window` in its one stored form.

    Args:
        sliding_window: `None` (inputs are run whole), or `{"crop_size": ..., "stride": ...}` in pixels, each a number
            or `(height, width)`; a pair `(crop_size, stride)` is read as the same.

    Returns:
        `None` or `{"crop_size": [height, width], "stride": [height, width]}`.

    Raises:
        ValueError: Another form, or a stride that would leave pixels between windows.
    """
    if sliding_window is None:
        return None
    if isinstance(sliding_window, Sequence) and not isinstance(sliding_window, str) and len(sliding_window) == 2:
        sliding_window = dict(zip(("crop_size", "stride"), sliding_window, strict=True))
    if not isinstance(sliding_window, Mapping) or set(sliding_window) != {"crop_size", "stride"}:
        raise ValueError(
            "sliding_window must be None or {'crop_size': (height, width), 'stride': (height, width)} in pixels, "
            f"got {sliding_window!r}."
        )
    crop_size, stride = as_pair(sliding_window["crop_size"]), as_pair(sliding_window["stride"])
    if not all(0 < step <= side for step, side in zip(stride, crop_size, strict=True)):
        raise ValueError(f"sliding_window: stride {stride} must lie between 1 and the crop size {crop_size}.")
    return {"crop_size": list(crop_size), "stride": list(stride)}


__all__ = ["validated_sliding_window"]
