"""Pillow's bilinear resize, which antialiases when it shrinks: what DINOv3 resizes photos with.

Pillow itself does it: its fixed-point arithmetic is not that of any resize in torch.
"""

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor


def resize_pil_bilinear(image: Tensor, height: int, width: int) -> Tensor:
    """`Image.resize((width, height), BILINEAR)` of every channel; floating-point images antialiased, not rounded.

    Args:
        image: (channels, source height, source width), on any device.
        height: That of the result.
        width: That of the result.

    Returns:
        (channels, height, width), of the same dtype on the same device.
    """
    if tuple(image.shape[-2:]) == (height, width):
        return image
    if image.dtype != torch.uint8:
        return F.interpolate(image[None], size=(height, width), mode="bilinear", antialias=True)[0]
    channels = [Image.fromarray(channel) for channel in image.cpu().numpy()]
    resized = [np.asarray(channel.resize((width, height), Image.Resampling.BILINEAR)) for channel in channels]
    return torch.from_numpy(np.stack(resized)).to(image.device)


__all__ = ["resize_pil_bilinear"]
