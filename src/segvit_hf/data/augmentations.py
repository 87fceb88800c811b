"""The training augmentations of MMSegmentation 0.24 on numpy arrays, with an explicit random generator.

Follows MMSegmentation (mmseg/datasets/pipelines/transforms.py): random resize, random crop that avoids crops of
almost one class, horizontal flip, photometric distortion. Normalization is the image processor's; padding comes after.
"""

import numpy as np
import torch
from torch.nn.functional import interpolate, pad

from segvit_hf.data.hsv import hsv_to_rgb, rgb_to_hsv

_CROP_TRIALS = 10


class TrainingAugmentation:
    """Random resize, crop, flip and color distortion of a photo and its label map.

    All randomness comes from the generator given to the call: the same generator state gives the same result.

    Args:
        crop_size: (height, width) of the crop, or one number for both. Smaller images are not padded (`pad_to_size`).
        size: base scale (long side, short side), in any order, for example (2048, 512). The photo is resized with its
            aspect ratio kept, to the largest size that exceeds neither. None: the photo's own size.
        scale_range: (smallest, largest) factor on the base scale, drawn uniformly; None for no random factor.
        cat_max_ratio: a crop in which one class takes this share or more of the pixels that count, or in which only
            one class occurs, is drawn again, up to 10 times; 1.0 switches this off. Default 0.75.
        flip_probability: probability of a horizontal flip.
        photometric_distortion: whether brightness, contrast, saturation and hue are changed
            (`distort_colors`).
        ignore_index: id that is no class for `cat_max_ratio` (default 255).

    Example:
        >>> augment = TrainingAugmentation(size=(2048, 512), crop_size=512)
        >>> image, segmentation_map = augment(image, segmentation_map, np.random.default_rng(0))
    """

    def __init__(
        self,
        crop_size: int | tuple[int, int],
        size: tuple[int, int] | None = None,
        scale_range: tuple[float, float] | None = (0.5, 2.0),
        cat_max_ratio: float = 0.75,
        flip_probability: float = 0.5,
        photometric_distortion: bool = True,
        ignore_index: int = 255,
    ) -> None:
        self.crop_size = (crop_size, crop_size) if isinstance(crop_size, int) else (crop_size[0], crop_size[1])
        if min(self.crop_size) < 1:
            raise ValueError(f"crop_size must be positive, found {crop_size}")
        if size is not None and (len(size) != 2 or min(size) < 1):
            raise ValueError(f"size must be two positive numbers (long side, short side), found {size}")
        if scale_range is not None and not 0 < scale_range[0] <= scale_range[1]:
            raise ValueError(
                f"scale_range must be (smallest, largest) with 0 < smallest <= largest, found {scale_range}"
            )
        if not 0 < cat_max_ratio <= 1:
            raise ValueError(f"cat_max_ratio must be above 0 and at most 1, found {cat_max_ratio}")
        if not 0 <= flip_probability <= 1:
            raise ValueError(f"flip_probability must be from 0 to 1, found {flip_probability}")
        self.size = (size[0], size[1]) if size is not None else None
        self.scale_range = scale_range
        self.cat_max_ratio = cat_max_ratio
        self.flip_probability = flip_probability
        self.photometric_distortion = photometric_distortion
        self.ignore_index = ignore_index

    def __call__(
        self, image: np.ndarray, segmentation_map: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Augments one pair.

        Args:
            image: uint8 (height, width, 3), RGB.
            segmentation_map: integer (height, width), 0 already reduced or not: ids are not changed.
            rng: the source of all randomness.

        Returns:
            The image, uint8 (h, w, 3), and the map, int64 (h, w), with (h, w) the crop size, or smaller where the
            resized image is smaller. The arguments are not changed.

        Raises:
            ValueError: wrong dtype or shape.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"image must be uint8 (height, width, 3), found {image.dtype} {image.shape}")
        if segmentation_map.shape != image.shape[:2] or segmentation_map.dtype.kind not in "iu":
            raise ValueError(
                f"segmentation_map must be an integer array of shape {image.shape[:2]}, found "
                f"{segmentation_map.dtype} {segmentation_map.shape}"
            )
        height, width = self._resized_size(image.shape[0], image.shape[1], rng)
        image = resize_bilinear(image, height, width)
        segmentation_map = resize_nearest(segmentation_map, height, width)
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
        factor = min(max(scale) / max(height, width), min(scale) / min(height, width))
        # mmcv rounds half up; a factor below one pixel is not its case.
        return max(1, int(height * factor + 0.5)), max(1, int(width * factor + 0.5))

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
        top = int(rng.integers(max(shape[0] - self.crop_size[0], 0) + 1))
        left = int(rng.integers(max(shape[1] - self.crop_size[1], 0) + 1))
        return slice(top, top + self.crop_size[0]), slice(left, left + self.crop_size[1])


def resize_bilinear(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear resize of a uint8 image (h, w, 3) without antialiasing, as OpenCV's: equal or off by 1 of 255."""
    if image.shape[:2] == (height, width):
        return image
    pixels = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None]
    resized = interpolate(pixels, size=(height, width), mode="bilinear", align_corners=False, antialias=False)
    return resized[0].permute(1, 2, 0).add(0.5).clamp(0, 255).byte().numpy()


def resize_nearest(segmentation_map: np.ndarray, height: int, width: int) -> np.ndarray:
    """Nearest-neighbor resize of a label map (h, w), with OpenCV's choice of the neighbor: floor(index * ratio)."""
    old_height, old_width = segmentation_map.shape
    if (old_height, old_width) == (height, width):
        return segmentation_map
    rows = np.minimum((np.arange(height) * (1 / (height / old_height))).astype(np.int64), old_height - 1)
    columns = np.minimum((np.arange(width) * (1 / (width / old_width))).astype(np.int64), old_width - 1)
    return segmentation_map[rows[:, None], columns]


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
        image: uint8 (height, width, 3), RGB; not changed.
        rng: the source of all randomness.
        brightness_delta: largest change of brightness, of 255.
        contrast_range: smallest and largest factor.
        saturation_range: smallest and largest factor.
        hue_delta: largest turn of the hue, of 180.

    Returns:
        uint8 (height, width, 3).
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
        pixel_values: (..., channels, height, width).
        labels: integer (..., height, width) of the same height and width, or None.
        size: (height, width) to pad to, or one number for both.
        pad_value: value of the added pixels (default 0, the mean color after normalization).
        label_pad_value: value of the added labels (default 255, ignored).

    Returns:
        The padded tensors, (..., channels, *size) and (..., *size) or None.

    Raises:
        ValueError: the image is larger than `size`, or the labels have another height and width.
    """
    target_height, target_width = (size, size) if isinstance(size, int) else size
    height, width = pixel_values.shape[-2:]
    if height > target_height or width > target_width:
        raise ValueError(f"cannot pad an image of {height}x{width} (height x width) to {target_height}x{target_width}")
    if labels is not None and labels.shape[-2:] != pixel_values.shape[-2:]:
        raise ValueError(f"labels are {tuple(labels.shape[-2:])} but the image is {height}x{width} (height x width)")
    margins = (0, target_width - width, 0, target_height - height)
    padded = pad(pixel_values, margins, value=pad_value)
    return padded, pad(labels, margins, value=label_pad_value) if labels is not None else None


def _coin(rng: np.random.Generator) -> bool:
    return bool(rng.integers(2))


def _linear(values: np.ndarray, factor: float, offset: float) -> np.ndarray:
    """Factor * values + offset, limited to 0..255 and truncated as the original does; uint8 in and out."""
    return np.clip(values.astype(np.float32) * np.float32(factor) + np.float32(offset), 0, 255).astype(np.uint8)
