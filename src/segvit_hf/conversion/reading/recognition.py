"""Recognizes which architecture the names in a checkpoint belong to."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch

from segvit_hf.conversion.errors import ConversionError


@dataclass(frozen=True)
class Signature:
    """Names that tell one kind of checkpoint: each of `patterns` fits some name, `absent` (if given) fits none."""

    family: str
    description: str
    patterns: tuple[str, ...]
    absent: str | None = None


# Tried in order; more specific ones first.
SIGNATURES = (
    Signature("vit_adapter", "a ViT-Adapter checkpoint", (r"backbone\.level_embed", r"backbone\.spm\..*")),
    Signature("hlg", "an HLG checkpoint", (r"(backbone\.)?block1\.\d+\.global_attn\..*",)),
    Signature(
        "segvit",
        "a SegViT checkpoint",
        (r"backbone\.layers\.\d+\.attn\.attn\..*", r"decode_head\.(atm\.)?(q|class_embed)\..*"),
    ),
    Signature("segmenter", "a Segmenter checkpoint", (r"encoder\.blocks\.\d+\..*", r"decoder\..*")),
    Signature(
        "segmenter",
        "a Segmenter checkpoint of mmsegmentation",
        (r"backbone\.layers\.\d+\.attn\.attn\..*", r"decode_head\.dec_proj\..*"),
    ),
    Signature("setr", "a SETR checkpoint", (r"backbone\.blocks\.\d+\..*", r"(decode_head|auxiliary_head)\..*")),
    Signature(
        "setr",
        "a SETR checkpoint of mmsegmentation's zoo",
        (r"backbone\.layers\.\d+\.attn\.attn\..*", r"decode_head\.up_convs\..*"),
    ),
    Signature(
        "",
        "a ViT of mmsegmentation without any head",
        (r"backbone\.layers\.\d+\.attn\.attn\..*",),
        absent=r"decode_head\..*",
    ),
    Signature(
        "",
        "ImageNet weights of a ViT in timm's naming (they initialize an encoder for training; there is no "
        "segmentation head in them)",
        (r"blocks\.\d+\.attn\.qkv\.weight", r"patch_embed\.proj\.weight"),
    ),
    Signature(
        "",
        "a checkpoint that is converted already (load it with AutoModelForSemanticSegmentation.from_pretrained)",
        (r"encoder\.embeddings\.position_embeddings",),
    ),
)


def recognize_family(keys: Collection[str]) -> Signature | None:
    """The kind of checkpoint that has these names, or `None` if none is known."""
    for signature in SIGNATURES:
        if not all(_fits_some(pattern, keys) for pattern in signature.patterns):
            continue
        if signature.absent is None or not _fits_some(signature.absent, keys):
            return signature
    return None


def _fits_some(pattern: str, keys: Collection[str]) -> bool:
    return any(re.fullmatch(pattern, key) for key in keys)


def check_family(family: str, state_dict: Mapping[str, torch.Tensor]) -> None:
    """Raises:
    ConversionError: If the names are those of another kind of checkpoint than `family`.
    """
    found = recognize_family(state_dict)
    if found is not None and found.family != family:
        advice = f" Convert it with family {found.family!r}." if found.family else ""
        raise ConversionError(f"Expected weights of family {family!r}, this looks like {found.description}.{advice}")


__all__ = ["SIGNATURES", "Signature", "check_family", "recognize_family"]
