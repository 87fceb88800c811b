"""What a model may be given as its input."""

import torch


def check_pixel_values(pixel_values: torch.Tensor, num_channels: int) -> None:
    """Refuses what is no batch of normalized images.

    Args:
        pixel_values: (batch, channels, height, width), floating point of any width.
        num_channels: The number of channels that the model has.

    Raises:
        TypeError: It is no tensor of floating-point numbers. Integers are a photo's own values, which would be taken
            for normalized ones.
        ValueError: Another shape, or a side of length 0.
    """
    if not isinstance(pixel_values, torch.Tensor) or not pixel_values.is_floating_point():
        found = pixel_values.dtype if isinstance(pixel_values, torch.Tensor) else type(pixel_values).__name__
        raise TypeError(
            f"pixel_values: expected a tensor of floating-point numbers, as the image processor makes it, found "
            f"{found}."
        )
    if pixel_values.ndim != 4 or pixel_values.shape[1] != num_channels or 0 in pixel_values.shape:
        raise ValueError(
            f"pixel_values: expected (batch, {num_channels}, height, width) with no empty side, "
            f"found {tuple(pixel_values.shape)}."
        )


__all__ = ["check_pixel_values"]
