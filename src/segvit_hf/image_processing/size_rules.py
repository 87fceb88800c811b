"""The size rules of the originals' test pipelines: mmcv's rounding and what each project added to it.

Follows `mmcv.imrescale` / `mmcv.imresize_to_multiple` (OpenMMLab), `Resize(min_size=...)` of mmsegmentation 0.24,
`Resize(setr_multi_scale=True)` of SETR, `ResizeToMultiple` and `PadShortSide` of ViT-Adapter and
`segm.model.utils.resize` of Segmenter. Only sizes are computed here; `opencv_resize` resizes pixels.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

Size = tuple[int, int]


@dataclass(frozen=True)
class InputGeometry:
    """The sizes, all (height, width) in pixels, that one photo passes through on its way to the network.

    Attributes:
        resizes: The sizes of the successive uint8 resizes, in order; empty when the photo keeps its size.
        padded: The size after padding at the bottom and right (equal to the size before it where nothing is padded).
        upsampled: The size of the last resize, of the normalized tensor, or `None`.
    """

    original: Size
    resizes: tuple[Size, ...]
    padded: Size
    upsampled: Size | None

    @property
    def content(self) -> Size:
        """Size of the part of the network's input that shows the photo (its top-left corner)."""
        if self.upsampled is not None:
            return self.upsampled
        return self.resizes[-1] if self.resizes else self.original

    @property
    def network_input(self) -> Size:
        """Size of the network's input."""
        return self.padded if self.upsampled is None else self.upsampled


def keep_ratio_size(height: int, width: int, scale: tuple[float, float]) -> Size:
    """The size that `mmcv.imrescale` gives for the two limits `scale`, whose order is irrelevant.

    factor = min(long limit / long side, short limit / short side); both sides are rounded half up,
    `int(side * factor + 0.5)`, and are at least one pixel.
    """
    factor = min(max(scale) / max(height, width), min(scale) / min(height, width))
    return max(1, int(height * factor + 0.5)), max(1, int(width * factor + 0.5))


def uncapped_short_edge_limits(height: int, width: int, short_edge: int) -> tuple[float, float]:
    """The pair of limits with which mmsegmentation's `min_size` and SETR's `setr_multi_scale` replace the scale.

    The long limit follows from the photo's aspect ratio, so that only the short side counts.
    """
    if height > width:
        return short_edge * height / width, float(short_edge)
    return float(short_edge), short_edge * width / height


def size_up_to_multiple(size: Size, divisor: int) -> Size:
    """Both sides rounded up to multiples of `divisor` (`mmcv.imresize_to_multiple`)."""
    return math.ceil(size[0] / divisor) * divisor, math.ceil(size[1] / divisor) * divisor


def upsampled_short_edge_size(size: Size, short_edge: int) -> Size | None:
    """Segmenter's rule for inputs smaller than its window: short side = `short_edge`, long side truncated.

    Returns `None` where the short side is long enough already.
    """
    height, width = size
    if min(height, width) >= short_edge:
        return None
    if height < width:
        return short_edge, int(width / height * short_edge)
    return int(height / width * short_edge), short_edge


@dataclass(frozen=True)
class SizeRule:
    """How a processor's fields determine the size of the network's input (see its documentation for each field).

    `size` is `None` when nothing is resized, else one of the two forms {"height", "width"} and
    {"shortest_edge"[, "longest_edge"]}.
    """

    size: dict[str, int] | None = None
    minimum_short_edge: int | None = None
    size_divisor: int | None = None
    minimum_padded_size: int | None = None
    minimum_input_short_edge: int | None = None
    small_scale_divisor: int | None = None

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> "SizeRule":
        """The rule of a processor's fields: `do_resize`, `size` and those named in `RULE_NAMES`.

        Raises:
            ValueError: A field is impossible, or two contradict each other.
        """
        size = fields.get("size") if fields.get("do_resize") else None
        return _checked_rule(tuple(dict(size).items()) if size else None, *(fields.get(name) for name in RULE_NAMES))

    def __post_init__(self) -> None:
        for name in RULE_NAMES:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be None or a positive integer, found {value}.")
        if self.minimum_padded_size is not None and self.minimum_input_short_edge is not None:
            raise ValueError("minimum_padded_size and minimum_input_short_edge exclude each other: set one of them.")
        if self.size is not None:
            self._check_size(self.size)

    def _check_size(self, size: dict[str, int]) -> None:
        keys = set(size)
        if keys not in ({"height", "width"}, {"shortest_edge"}, {"shortest_edge", "longest_edge"}):
            raise ValueError(
                "size must be {'height', 'width'}, {'shortest_edge'} or {'shortest_edge', 'longest_edge'}, "
                f"found {size}."
            )
        if any(value < 1 for value in size.values()):
            raise ValueError(f"size must hold positive numbers of pixels, found {size}.")
        if size.get("longest_edge", math.inf) < size.get("shortest_edge", 0):
            raise ValueError(f"size: longest_edge must not be less than shortest_edge, found {size}.")
        if self.minimum_short_edge is not None and "shortest_edge" not in size:
            raise ValueError(
                "minimum_short_edge needs a size of the form {'shortest_edge', 'longest_edge'}: a fixed height and "
                f"width have no short edge to raise, found size={size}."
            )

    def geometry(self, height: int, width: int, scale: float = 1.0) -> InputGeometry:
        """The sizes that a photo of `height` x `width` pixels passes through.

        `scale` multiplies the limits as mmsegmentation's `MultiScaleFlipAug(img_ratios=...)` does,
        `int(limit * scale)`, and every rule applies to the result.

        Raises:
            ValueError: `scale` is not a positive number, makes a limit vanish, or is not 1 while `size` is `None`.
        """
        if not (math.isfinite(scale) and scale > 0):
            raise ValueError(f"scale must be a positive number, found {scale}.")
        original = (height, width)
        resizes: tuple[Size, ...] = ()
        if self.size is not None:
            resized = self._resized_size(height, width, scale)
            resizes = (resized,)
            if self.size_divisor is not None:
                resizes += (size_up_to_multiple(resized, self.size_divisor),)
        elif scale != 1.0:
            raise ValueError(f"scale needs do_resize=True: there is no size to multiply by {scale}.")
        size = resizes[-1] if resizes else original
        minimum = self.minimum_padded_size or 0
        padded = (max(size[0], minimum), max(size[1], minimum))
        upsampled = None
        if self.minimum_input_short_edge is not None:
            upsampled = upsampled_short_edge_size(padded, self.minimum_input_short_edge)
        return InputGeometry(original, resizes, padded, upsampled)

    def _resized_size(self, height: int, width: int, scale: float) -> Size:
        assert self.size is not None
        limits = {name: int(value * scale) for name, value in self.size.items()}
        if min(limits.values()) < 1:
            raise ValueError(f"scale {scale} is too small for size {self.size}: nothing would be left of the image.")
        if "height" in limits:
            return limits["height"], limits["width"]
        short_edge = limits["shortest_edge"]
        if self.small_scale_divisor is not None and scale < 1:
            short_edge = math.ceil(short_edge / self.small_scale_divisor) * self.small_scale_divisor
        if self.minimum_short_edge is not None:
            short_edge = max(short_edge, self.minimum_short_edge)
            return keep_ratio_size(height, width, uncapped_short_edge_limits(height, width, short_edge))
        return keep_ratio_size(height, width, (short_edge, limits.get("longest_edge", math.inf)))


# The processors' fields that decide sizes, besides `do_resize` and `size`.
RULE_NAMES = tuple(field.name for field in fields(SizeRule) if field.name != "size")


@lru_cache(maxsize=64)
def _checked_rule(size: tuple[tuple[str, int], ...] | None, *values: int | None) -> SizeRule:
    # Remembered, because fields can be set at any time and for one call: the rule follows them, and is checked once.
    return SizeRule(None if size is None else dict(size), **dict(zip(RULE_NAMES, values, strict=True)))
