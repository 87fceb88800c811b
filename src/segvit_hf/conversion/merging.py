"""Joins a head with its encoder, where a project released them in two files."""

from collections.abc import Mapping

import torch

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.families import get_family


def needs_encoder(family: str, weights: Mapping[str, torch.Tensor]) -> bool:
    """Whether weights are those of a head whose encoder comes apart from it."""
    prefix = get_family(family).encoder_prefix(weights)
    return prefix is not None and not any(key.startswith(prefix) for key in weights)


def with_encoder(
    family: str, head: Mapping[str, torch.Tensor], encoder: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """One state dict of a head and its encoder, as `convert_checkpoint` takes it; no weight of DINOv3 is copied.

    Args:
        family: `"dinov2"` or `"dinov3"`.
        head: Weights of a released head file.
        encoder: Weights of the encoder, by the original's names or by those of transformers.

    Raises:
        ConversionError: The family's files hold their encoder, or this one does.
    """
    entry = get_family(family)
    prefix = entry.encoder_prefix(head)
    if prefix is None or not needs_encoder(family, head):
        raise ConversionError(f"encoder: expected none, for these weights of family {family!r} hold their encoder.")
    return {**{prefix + key: tensor for key, tensor in entry.read_encoder(encoder).items()}, **head}


__all__ = ["needs_encoder", "with_encoder"]
