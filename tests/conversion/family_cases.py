"""Recorded models of every architecture and naming, in one form: weights, the original's configuration, the case."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from segvit_hf.conversion.reading.recognition import Naming
from tests.conversion.mmseg_segmenter import mmseg_original, mmseg_state_dict
from tests.conversion.mmseg_setr import mmseg_model, mmseg_weights
from tests.models.dino_models import DINO_FAMILIES
from tests.models.hlg.reference_models import original_of as hlg_original
from tests.reference import ReferenceCase, case_names, load_case


@dataclass(frozen=True)
class FamilyCase:
    """One model of an original: a recorded case, or for SETR in mmsegmentation's naming a decoder's name."""

    family: str
    naming: Naming
    name: str

    def __str__(self) -> str:
        return f"{self.family}-{self.naming}-{self.name}"

    @property
    def recorded(self) -> ReferenceCase:
        return load_case(self.family, self.name)

    @property
    def original(self) -> dict[str, Any]:
        """The third argument of `convert_checkpoint`."""
        if self.naming == "mmseg" and self.family != "segvit":
            return {"model": mmseg_model(self.name)} if self.family == "setr" else mmseg_original(self.recorded)
        if self.family == "segmenter":
            return self.recorded.meta["variant"]
        return hlg_original(self.recorded) if self.family == "hlg" else {"model": self.recorded.arch}

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Weights by original name; the dictionary may be changed, the tensors may not."""
        return dict(_state_dict(self))

    def dropped(self) -> set[str]:
        """Keys of the original that our model has no use for."""
        keys = set(self.recorded.shapes())
        if self.family == "segmenter":
            return {key for key in keys if key.startswith("encoder.head")}
        if self.family == "segvit":
            return {key for key in keys if key.endswith(("criterion.empty_weight", "relative_position_index"))}
        meta = self.recorded.meta
        if self.family == "hlg":
            return set()
        if self.family == "setr":
            return set(meta["unused_params"])
        if self.family in DINO_FAMILIES:
            return {key for key in keys if any(pattern in key for pattern in _DROPPED_OF_DINO[self.family])}
        return {key for key in keys if key.endswith("relative_position_index")}


_DROPPED_OF_DINO = {"dinov2": ("mask_token",), "dinov3": ("rope_embed.periods", "bias_mask", "local_cls_norm")}


@lru_cache(maxsize=64)
def _state_dict(case: FamilyCase) -> dict[str, torch.Tensor]:
    if case.naming == "mmseg" and case.family != "segvit":
        return mmseg_weights(mmseg_model(case.name)) if case.family == "setr" else mmseg_state_dict(case.recorded)
    return case.recorded.state_dict()


ORIGINAL_CASES = [
    FamilyCase(family, "mmseg" if name.endswith("-mmseg") else "original", name)
    for family in ("hlg", "segmenter", "segvit", "setr", "vit_adapter", *DINO_FAMILIES)
    for name in case_names(family, "tiny-*")
]
MMSEG_SEGMENTERS = [
    FamilyCase("segmenter", "mmseg", name)
    for name in ("tiny-mask", "tiny-mask-attention", "tiny-mask-same-token-count", "tiny-linear")
]
MMSEG_SETRS = [FamilyCase("setr", "mmseg", decoder) for decoder in ("naive", "pup", "mla")]
CASES = [*ORIGINAL_CASES, *MMSEG_SEGMENTERS, *MMSEG_SETRS]
# One of each architecture, naming and kind of head.
REPRESENTATIVES = [
    FamilyCase("hlg", "original", "tiny-seg-rect"),
    FamilyCase("hlg", "original", "tiny-cls"),
    FamilyCase("hlg", "original", "tiny-det"),
    FamilyCase("segmenter", "original", "tiny-mask"),
    FamilyCase("segmenter", "original", "tiny-linear"),
    FamilyCase("segmenter", "mmseg", "tiny-mask"),
    FamilyCase("segmenter", "mmseg", "tiny-linear"),
    FamilyCase("segvit", "original", "tiny-atm3"),
    FamilyCase("segvit", "original", "tiny-tpn"),
    FamilyCase("setr", "original", "tiny-pup"),
    FamilyCase("setr", "original", "tiny-mla"),
    FamilyCase("setr", "mmseg", "pup"),
    FamilyCase("setr", "mmseg", "mla"),
    FamilyCase("vit_adapter", "original", "tiny-upernet-vit"),
    FamilyCase("vit_adapter", "original", "tiny-upernet-beit"),
    FamilyCase("vit_adapter", "original", "tiny-mask2former-beit"),
    FamilyCase("dinov2", "original", "tiny-linear-native"),
    FamilyCase("dinov2", "original", "tiny-m2f-adapter"),
    FamilyCase("dinov3", "original", "tiny-linear-last-train"),
    FamilyCase("dinov3", "original", "tiny-m2f-vits"),
]
MANIFESTS = [
    FamilyCase(family, "mmseg" if name.endswith("-mmseg") else "original", name)
    for family in ("hlg", "segmenter", "segvit", "setr", "vit_adapter", *DINO_FAMILIES)
    for name in case_names(family, "full-*")
]
