"""The training augmentations of MMSegmentation 0.24 on numpy arrays, with an explicit random generator.

Follows MMSegmentation (mmseg/datasets/pipelines/transforms.py): random resize, random crop that avoids crops of
almost one class, horizontal flip, photometric distortion. Normalization is the image processor's; padding comes after.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch.nn.functional import pad

from segvit_hf.data.hsv import hsv_to_rgb, rgb_to_hsv
from segvit_hf.image_processing.opencv_resize import resize_nearest, resize_uint8_bilinear_float
from segvit_hf.image_processing.size_rules import keep_ratio_size

_CROP_TRIALS = 10
# What is larger is a slip of the pen, which would fill the memory.
_LARGEST_SIDE = 16384
_LARGEST_SCALE = 100


@dataclass(frozen=True)
class TrainingAugmentation:
    """Random resize, crop, flip and color distortion of a photo and its label map.

    All randomness comes from the generator given to the call: the same generator state gives the same result.

    Attributes:
        crop_size: (height, width) of the crop, or one number for both. Smaller images are not padded (`pad_to_size`).
        size: Base scale (long side, short side), in any order, for example (2048, 512). The photo is resized with its
            aspect ratio kept, to the largest size that exceeds neither. None: the photo's own size.
        scale_range: (smallest, largest) factor on the base scale, drawn uniformly; None for no random factor.
        cat_max_ratio: A crop in which one class takes this share or more of the pixels that count, or in which only
            one class occurs, is drawn again, up to 10 times; 1.0 switches this off. Default 0.75.
        flip_probability: Probability of a horizontal flip.
        photometric_distortion: Whether brightness, contrast, saturation and hue are changed
            (`distort_colors`).
        ignore_index: Id that is no class for `cat_max_ratio` (default 255). Not a field of recipes: it is the model's.

    Raises:
        ValueError: A value is out of range; the message begins with the field's name.

    Example:
        >>> augment = TrainingAugmentation(size=(2048, 512), crop_size=512)
        >>> image, segmentation_map = augment(image, segmentation_map, np.random.default_rng(0))
    """

    crop_size: int | tuple[int, int]
    size: tuple[int, int] | None = None
    scale_range: tuple[float, float] | None = (0.5, 2.0)
    cat_max_ratio: float = 0.75
    flip_probability: float = 0.5
    photometric_distortion: bool = True
    ignore_index: int = field(default=255, metadata={"in_recipe": False})

    def __post_init__(self) -> None:
        _check(min(_as_pair(self.crop_size)) > 0, f"crop_size: expected positive pixels, found {self.crop_size}")
        _check(
            max(_as_pair(self.crop_size)) <= _LARGEST_SIDE,
            f"crop_size: expected at most {_LARGEST_SIDE} pixels a side, found {self.crop_size}",
        )
        _check(
            self.size is None or (len(self.size) == 2 and min(self.size) > 0 and max(self.size) <= _LARGEST_SIDE),
            f"size: expected two numbers of 1 to {_LARGEST_SIDE} (long side, short side) or None, found {self.size}",
        )
        if self.scale_range is not None:
            low, high = self.scale_range
            _check(
                0 < low <= high <= _LARGEST_SCALE,
                f"scale_range: expected 0 < smallest <= largest <= {_LARGEST_SCALE}, found {list(self.scale_range)}",
            )
        _check(0 < self.cat_max_ratio <= 1, f"cat_max_ratio: expected a share in (0, 1], found {self.cat_max_ratio}")
        _check(0 <= self.flip_probability <= 1, f"flip_probability: expected 0 to 1, found {self.flip_probability}")
        # One form for one meaning: what is written and compared does not depend on how it was given.
        object.__setattr__(self, "crop_size", _as_pair(self.crop_size))

    def __call__(
        self, image: np.ndarray, segmentation_map: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Augments one pair.

        Args:
            image: Photo, uint8 (height, width, 3), RGB.
            segmentation_map: Integer (height, width), 0 already reduced or not: ids are not changed.
            rng: The source of all randomness.

        Returns:
            The image, uint8 (h, w, 3), and the map, int64 (h, w), with (h, w) the crop size, or smaller where the
            resized image is smaller. The arguments are not changed.

        Raises:
            ValueError: Wrong dtype or shape.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"image: expected uint8 (height, width, 3), found {image.dtype} {image.shape}.")
        if segmentation_map.shape != image.shape[:2] or segmentation_map.dtype.kind not in "iu":
            raise ValueError(
                f"segmentation_map: expected an integer array of shape {image.shape[:2]}, found "
                f"{segmentation_map.dtype} {segmentation_map.shape}."
            )
        height, width = self._resized_size(image.shape[0], image.shape[1], rng)
        image = _resize_image(image, height, width)
        segmentation_map = _resize_label_map(segmentation_map, height, width)
        rows, columns = self._draw_crop(segmentation_map, rng)
        image, segmentation_map = image[rows, columns], segmentation_map[rows, columns]
        if rng.random() < self.flip_probability:
            image, segmentation_map = image[:, ::-1], segmentation_map[:, ::-1]
        if self.photometric_distortion:
            image = distort_colors(image, rng)
        return np.ascontiguousarray(image), np.ascontiguousarray(segmentation_map, dtype=np.int64)

    def _resized_size(self, height: int, width: int, rng: np.random.Generator) -> tuple[int, int]:
        scale = self.size or (height, width)
        if self.scale_range is not None:
            ratio = rng.uniform(*self.scale_range)
            scale = (int(scale[0] * ratio), int(scale[1] * ratio))
        return keep_ratio_size(height, width, scale)

    def _draw_crop(self, segmentation_map: np.ndarray, rng: np.random.Generator) -> tuple[slice, slice]:
        crop = self._random_window(segmentation_map.shape, rng)
        if self.cat_max_ratio < 1:
            for _ in range(_CROP_TRIALS):
                ids, pixels = np.unique(segmentation_map[crop], return_counts=True)
                pixels = pixels[ids != self.ignore_index]
                if len(pixels) > 1 and pixels.max() / pixels.sum() < self.cat_max_ratio:
                    break
                crop = self._random_window(segmentation_map.shape, rng)
        return crop

    def _random_window(self, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[slice, slice]:
        height, width = _as_pair(self.crop_size)
        top = int(rng.integers(max(shape[0] - height, 0) + 1))
        left = int(rng.integers(max(shape[1] - width, 0) + 1))
        return slice(top, top + height), slice(left, left + width)


def _resize_image(image: np.ndarray, height: int, width: int) -> np.ndarray:
    pixels = torch.from_numpy(np.require(image, requirements=["C", "W"])).permute(2, 0, 1)
    return resize_uint8_bilinear_float(pixels, height, width).permute(1, 2, 0).numpy()


def _resize_label_map(segmentation_map: np.ndarray, height: int, width: int) -> np.ndarray:
    # torch indexes no unsigned integers of more than 8 bits.
    ids = torch.from_numpy(np.require(segmentation_map, np.int64, ["C", "W"]))
    return resize_nearest(ids, height, width).numpy()


def distort_colors(
    image: np.ndarray,
    rng: np.random.Generator,
    brightness_delta: float = 32,
    contrast_range: tuple[float, float] = (0.5, 1.5),
    saturation_range: tuple[float, float] = (0.5, 1.5),
    hue_delta: int = 18,
) -> np.ndarray:
    """MMSegmentation's PhotoMetricDistortion: four changes, each with probability 0.5.

    Brightness is added, contrast and saturation are factors, hue is turned by a whole number of OpenCV's 8-bit hue
    units (2 degrees each) in [-hue_delta, hue_delta). Contrast comes after brightness or, as probably, last.

    Args:
        image: Photo, uint8 (height, width, 3), RGB; not changed.
        rng: The source of all randomness.
        brightness_delta: Largest change of brightness, of 255.
        contrast_range: Smallest and largest factor.
        saturation_range: Smallest and largest factor.
        hue_delta: Largest turn of the hue, of 180.

    Returns:
        The photo, uint8 (height, width, 3).
    """
    if _coin(rng):
        image = _linear(image, 1.0, rng.uniform(-brightness_delta, brightness_delta))
    contrast_first = _coin(rng)
    if contrast_first and _coin(rng):
        image = _linear(image, rng.uniform(*contrast_range), 0.0)
    if _coin(rng):
        hsv = rgb_to_hsv(image)
        hsv[..., 1] = _linear(hsv[..., 1], rng.uniform(*saturation_range), 0.0)
        image = hsv_to_rgb(hsv)
    if _coin(rng):
        hsv = rgb_to_hsv(image)
        hsv[..., 0] = (hsv[..., 0].astype(np.int64) + rng.integers(-hue_delta, hue_delta)) % 180
        image = hsv_to_rgb(hsv)
    if not contrast_first and _coin(rng):
        image = _linear(image, rng.uniform(*contrast_range), 0.0)
    return image


def pad_to_size(
    pixel_values: torch.Tensor,
    labels: torch.Tensor | None,
    size: int | tuple[int, int],
    pad_value: float = 0.0,
    label_pad_value: int = 255,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Pads a normalized image and its labels at the right and the bottom.

    Args:
        pixel_values: Tensor (..., channels, height, width).
        labels: Integer (..., height, width) of the same height and width, or None.
        size: Target (height, width) to pad to, or one number for both.
        pad_value: Value of the added pixels (default 0, the mean color after normalization).
        label_pad_value: Value of the added labels (default 255, ignored).

    Returns:
        The padded tensors, (..., channels, *size) and (..., *size) or None.

    Raises:
        ValueError: The image is larger than `size`, or the labels have another height and width.
    """
    target_height, target_width = _as_pair(size)
    height, width = pixel_values.shape[-2:]
    if height > target_height or width > target_width:
        raise ValueError(
            f"size: expected at least the image's {height}x{width} (height x width), found "
            f"{target_height}x{target_width}."
        )
    if labels is not None and labels.shape[-2:] != pixel_values.shape[-2:]:
        raise ValueError(
            f"labels: expected the image's size {height}x{width} (height x width), found {tuple(labels.shape[-2:])}."
        )
    margins = (0, target_width - width, 0, target_height - height)
    padded = pad(pixel_values, margins, value=pad_value)
    return padded, pad(labels, margins, value=label_pad_value) if labels is not None else None


def _as_pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(f"{message}.")


def _coin(rng: np.random.Generator) -> bool:
    return bool(rng.integers(2))


def _linear(values: np.ndarray, factor: float, offset: float) -> np.ndarray:
    """Factor * values + offset, limited to 0..255 and truncated as the original does; uint8 in and out."""
    return np.clip(values.astype(np.float32) * np.float32(factor) + np.float32(offset), 0, 255).astype(np.uint8)
