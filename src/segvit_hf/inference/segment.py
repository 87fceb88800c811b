"""`segment`: from one photo to its label map, by the originals' single-scale or multi-scale and flip protocol."""

import math
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageOps
from torch import Tensor, nn

from segvit_hf.image_processing.processor import SemanticSegmentationProcessing
from segvit_hf.image_processing.reading import load_file, read_image
from segvit_hf.image_processing.size_rules import Size
from segvit_hf.inference.photo_size import MAX_LOGITS, larger_label_map, size_within_memory, smaller_photo
from segvit_hf.inference.test_time_augmentation import View, multi_view_argmax


def segment(
    model: nn.Module,
    image_processor: Any,
    image: Any,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    *,
    max_logits: int | None = MAX_LOGITS,
    input_data_format: str | None = None,
) -> Tensor:
    """The label map of one photo, at the photo's size.

    With one scale and no flip this equals the model followed by `post_process_semantic_segmentation`. Otherwise the
    probabilities (softmax of the logits resized to the photo) of all scales, each also mirrored if `flip`, are
    averaged. The model runs on its own device and in its own dtype, one view at a time, in eval mode; the training
    mode of its modules is restored afterwards. Scales that the processor's rules lead to the same network input are
    run once and counted as often as they occur.

    Args:
        model: A semantic segmentation model: `pixel_values` in, `logits` (1, classes, height, width) out.
        image_processor: One of this package's image processors.
        image: PIL image, path, URL, or array or tensor (height, width[, channels]) or (channels, height, width). The
            EXIF orientation of files and PIL images is obeyed, as `cv2.imread` does.
        scales: Positive factors of the processor's `size`, e.g. (0.5, 0.75, 1.0, 1.25, 1.5, 1.75).
        flip: Whether to run every scale mirrored left to right as well.
        max_logits: How many values the logits of one network input may have, classes x height x width. A photo that
            would reach the network at its own size and need more is segmented at a smaller size, with a warning, and
            its label map is enlarged. Default: 2**29, 2 GiB in float32. `None`: always the photo's own size. Models
            without `config.num_labels` are not limited.
        input_data_format: Of arrays and tensors, `"channels_first"` or `"channels_last"`. `None`: the channels are
            where the shape has 1, 3 or 4; shapes that have them at both ends need to be told.

    Returns:
        int64 CPU tensor (height, width) of class ids.

    Raises:
        TypeError: `image` is not a single photo, `scales` no sequence of numbers, `flip` no boolean, or
            `image_processor` not one of this package's.
        ValueError: `scales` is empty or holds a number that is not positive, `max_logits` is below 1, or the processor
            does not resize and a scale is not 1.
    """
    if not isinstance(image_processor, SemanticSegmentationProcessing):
        raise TypeError(f"image_processor must be one of segvit_hf's image processors, found {type(image_processor)}.")
    if not isinstance(flip, bool):
        raise TypeError(f"flip must be True or False, found {flip!r}.")
    if isinstance(image, (list, tuple)):
        raise TypeError(f"image must be a single photo, found a {type(image).__name__}: call segment once per photo.")
    scales = _checked_scales(scales)
    photo = _read_photo(image, bool(image_processor.do_convert_rgb), input_data_format)
    size = (photo.shape[-2], photo.shape[-1])
    num_labels = getattr(getattr(model, "config", None), "num_labels", None)
    working_size = size_within_memory(size, num_labels, image_processor, scales, max_logits)
    if working_size != size:
        warnings.warn(
            f"segment: the photo of {size[1]}x{size[0]} pixels is segmented at {working_size[1]}x{working_size[0]}, "
            f"since its logits would have more than max_logits = {max_logits} values (None: no limit).",
            stacklevel=2,
        )
    return segment_at(working_size, model, image_processor, photo, scales, flip)


def segment_at(
    working_size: Size,
    model: nn.Module,
    image_processor: SemanticSegmentationProcessing,
    photo: Tensor,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
) -> Tensor:
    """`segment` for a photo that has been read, as if it had another size.

    Args:
        working_size: (height, width) at which the photo is segmented, at most its own.
        photo: (channels, height, width), uint8 or float32.
        model: As for `segment`.
        image_processor: As for `segment`.
        scales: As for `segment`.
        flip: As for `segment`.

    Returns:
        int64 CPU tensor (height, width) of class ids, at the photo's own size.
    """
    size = (photo.shape[-2], photo.shape[-1])
    if working_size == size:
        return _segment_at_own_size(model, image_processor, photo, scales, flip)
    small = smaller_photo(photo, working_size)
    return larger_label_map(_segment_at_own_size(model, image_processor, small, scales, flip), size)


def _segment_at_own_size(
    model: nn.Module,
    image_processor: SemanticSegmentationProcessing,
    photo: Tensor,
    scales: Sequence[float],
    flip: bool,
) -> Tensor:
    size = (photo.shape[-2], photo.shape[-1])
    flips = (False, True) if flip else (False,)
    if len(scales) > 1 or flip:
        image_processor = image_processor.for_several_views()
    geometries = {scale: image_processor.get_input_geometry(*size, scale) for scale in scales}
    weights = Counter(geometries[scale] for scale in scales)
    runs = {geometry: scale for scale, geometry in geometries.items()}

    def views() -> Iterator[View]:
        for geometry, scale in runs.items():
            for flipped in flips:
                logits = _run(model, image_processor, photo, scale, flipped)
                logits = image_processor.crop_to_content(logits, *size, scale)
                yield View(logits, flipped, weights[geometry])

    network_inputs = [geometry.network_input for geometry in runs for _ in flips]
    with _eval_mode(model), torch.no_grad():
        return multi_view_argmax(views(), network_inputs, size).cpu()


def _checked_scales(scales: Any) -> tuple[float, ...]:
    if not isinstance(scales, Sequence) or isinstance(scales, str):
        raise TypeError(f"scales must be a sequence of positive numbers such as (1.0,), found {scales!r}.")
    for scale in scales:
        if not isinstance(scale, (int, float)) or isinstance(scale, bool):
            raise TypeError(f"scales must be numbers, found {scale!r} in {scales!r}.")
        if not (math.isfinite(scale) and scale > 0):
            raise ValueError(f"scales must be positive, found {scale!r} in {scales!r}.")
    if not scales:
        raise ValueError("scales must hold at least one number, found none.")
    return tuple(float(scale) for scale in scales)


def _read_photo(image: Any, convert_to_rgb: bool, input_data_format: str | None) -> Tensor:
    if isinstance(image, (str, Path)):
        image = load_file(image)
    elif isinstance(image, Image.Image):
        image = ImageOps.exif_transpose(image)
    elif getattr(image, "ndim", 3) == 4:
        raise TypeError(f"image must be a single photo, found a batch of shape {tuple(image.shape)}.")
    return read_image(image, convert_to_rgb, input_data_format)


def _run(model: nn.Module, image_processor: Any, photo: Tensor, scale: float, flipped: bool) -> Tensor:
    """Logits (classes, height, width) of one view."""
    inputs = image_processor(
        images=[photo], scale=scale, flip=flipped, input_data_format="channels_first", return_tensors="pt"
    )
    parameter = next(model.parameters())
    logits: Tensor = model(pixel_values=inputs["pixel_values"].to(parameter.device, parameter.dtype)).logits
    if logits.ndim != 4 or logits.shape[0] != 1:
        raise ValueError(f"The model must return logits (1, classes, height, width), found {tuple(logits.shape)}.")
    return logits[0]


@contextmanager
def _eval_mode(model: nn.Module) -> Iterator[None]:
    """Eval mode inside; each module's own training mode is put back afterwards (frozen ones stay frozen)."""
    training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in training.items():
            module.training = mode


__all__ = ["segment", "segment_at"]
