"""Recognizes whose names a checkpoint has: the architecture, and which code base's naming of it."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from segvit_hf.conversion.errors import ConversionError

# Whose names the weights have: those of the architecture's authors, or those of mmsegmentation's own implementation.
Naming = Literal["original", "mmseg"]

_MMSEG_LAYERS = r"backbone\.layers\.\d+\.attn\.attn\..*"
_MMSEG_BEIT_LAYERS = r"backbone\.layers\.\d+\.attn\.qkv\..*"
_BEIT_LAYERS = r"backbone\.blocks\.\d+\.attn\.relative_position_bias_table"
_SEGVIT_HEAD = r"decode_head\.(atm\.)?(q|class_embed)\..*"


@dataclass(frozen=True)
class Signature:
    """What tells one kind of checkpoint: each of `patterns` fits some name, `absent` (if given) fits none.

    Attributes:
        family: The model type, or `""` for what is no segmentation model.
        naming: Whose names these are.
        description: The kind in words, for messages.
        patterns, absent: Regular expressions for whole names.
    """

    family: str
    naming: Naming
    description: str
    patterns: tuple[str, ...]
    absent: str | None = None


# Tried in order; more specific ones first.
SIGNATURES = (
    Signature(
        "dinov2",
        "original",
        "a DINOv2 segmentor with ViT-Adapter",
        (r"backbone\.interactions\..*", r"backbone\.blocks\.\d+\.mlp\.w[123]\..*"),
    ),
    Signature(
        "dinov2",
        "original",
        "a DINOv2 segmentor with ViT-Adapter",
        # ViT-Adapter's own ViTs have no class token, its BEiTs no position embeddings.
        (r"backbone\.interactions\..*", r"backbone\.cls_token", r"backbone\.pos_embed"),
    ),
    Signature(
        "vit_adapter", "original", "a ViT-Adapter checkpoint", (r"backbone\.(level_embed|spm\..*|interactions\..*)",)
    ),
    Signature(
        "dinov2",
        "original",
        "a DINOv2 segmentor with a linear head",
        (r"backbone\.blocks\.\d+\.ls1\.gamma", r"decode_head\.(bn|conv_seg)\..*"),
    ),
    Signature(
        "dinov3", "original", "a DINOv3 segmentor", (r"segmentation_model\.0\..*", r"segmentation_model\.1\..*")
    ),
    Signature("hlg", "original", "an HLG checkpoint", (r"(backbone\.)?block1\.\d+\.global_attn\..*",)),
    Signature("segvit", "original", "a SegViT checkpoint", (_MMSEG_LAYERS, _SEGVIT_HEAD)),
    Signature("segvit", "original", "a SegViT checkpoint with a BEiT encoder", (_BEIT_LAYERS, _SEGVIT_HEAD)),
    Signature(
        "segvit", "mmseg", "a SegViT checkpoint with mmsegmentation's BEiT encoder", (_MMSEG_BEIT_LAYERS, _SEGVIT_HEAD)
    ),
    Signature("segmenter", "original", "a Segmenter checkpoint", (r"encoder\.blocks\.\d+\..*", r"decoder\..*")),
    Signature(
        "segmenter",
        "mmseg",
        "a Segmenter checkpoint of mmsegmentation",
        (_MMSEG_LAYERS, r"decode_head\.dec_proj\..*"),
    ),
    Signature(
        "segmenter",
        "mmseg",
        "a Segmenter checkpoint of mmsegmentation with a linear decoder",
        (_MMSEG_LAYERS, r"decode_head\.conv_seg\..*"),
        # A classifier and nothing else.
        absent=r"(neck|auxiliary_head|decode_head\.(?!conv_seg\.)).*",
    ),
    Signature(
        "setr", "original", "a SETR checkpoint", (r"backbone\.blocks\.\d+\..*", r"(decode_head|auxiliary_head)\..*")
    ),
    Signature(
        "setr",
        "mmseg",
        "a SETR checkpoint of mmsegmentation's zoo",
        (_MMSEG_LAYERS, r"decode_head\.up_convs\..*"),
    ),
    Signature("", "mmseg", "a ViT of mmsegmentation without any head", (_MMSEG_LAYERS,), absent=r"decode_head\..*"),
    Signature(
        "",
        "original",
        "ImageNet weights of a ViT in timm's naming (they initialize an encoder for training; there is no "
        "segmentation head in them)",
        (r"blocks\.\d+\.attn\.qkv\.weight", r"patch_embed\.proj\.weight"),
    ),
    Signature(
        "",
        "original",
        "a checkpoint that is converted already (load it with AutoModelForSemanticSegmentation.from_pretrained)",
        (r"encoder\.embeddings\.position_embeddings",),
    ),
)


def recognize_checkpoint_names(keys: Collection[str]) -> Signature | None:
    """The kind of checkpoint that has these names, or `None` if none is known."""
    for signature in SIGNATURES:
        if not all(fits_some(pattern, keys) for pattern in signature.patterns):
            continue
        if signature.absent is None or not fits_some(signature.absent, keys):
            return signature
    return None


def check_family(family: str, keys: Collection[str]) -> Signature | None:
    """The kind of checkpoint that has these names, which must be of a family where it is known.

    Raises:
        ConversionError: If the names are those of another kind of checkpoint than `family`.
    """
    found = recognize_checkpoint_names(keys)
    if found is not None and found.family != family:
        advice = f" Convert it with family {found.family!r}." if found.family else ""
        raise ConversionError(f"Expected weights of family {family!r}, this looks like {found.description}.{advice}")
    return found


def check_naming(found: Signature | None, naming: Naming) -> None:
    """Checks that a configuration and the names of the weights come from the same code base.

    Args:
        found: Kind of checkpoint that the weights are; `None` where it is not known.
        naming: That of the configuration.

    Raises:
        ConversionError: If the weights are of the other naming.
    """
    if found is not None and found.naming != naming:
        raise ConversionError(
            f"The configuration is of the naming {naming!r}, the names of the weights are of the naming "
            f"{found.naming!r} (original: the code of the architecture's authors; mmseg: mmsegmentation)."
        )


def fits_some(pattern: str, keys: Collection[str]) -> bool:
    """Whether a regular expression fits one of these names as a whole."""
    return any(re.fullmatch(pattern, key) for key in keys)


__all__ = [
    "SIGNATURES",
    "Naming",
    "Signature",
    "check_family",
    "check_naming",
    "fits_some",
    "recognize_checkpoint_names",
]
