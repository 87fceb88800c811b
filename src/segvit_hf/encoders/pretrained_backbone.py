"""Reading a pretrained backbone: its configuration, its weights, and what its photos are normalized with."""

import json
import math
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, PreTrainedConfig, TimmBackboneConfig

from segvit_hf._compat import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, cached_file
from segvit_hf.encoders.configuration_backbone import TIMM, backbone_facts, build_backbone

TIMM_PREFIX = "timm/"
# The shorter side of photos, before it is rounded up to a multiple of the patch size.
_SHORT_EDGE = 512
_HALF = [0.5, 0.5, 0.5]


def read_backbone_config(source: str | Path) -> PreTrainedConfig:
    """The configuration of a folder, of a Hub id, or of one of timm's models by `"timm/<name>"`."""
    if str(source).startswith(TIMM_PREFIX):
        return TimmBackboneConfig(backbone=str(source).removeprefix(TIMM_PREFIX))
    return AutoConfig.from_pretrained(source)


def load_backbone_weights(source: str | Path, config: PreTrainedConfig, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """The weights of a backbone by the backbone's own names.

    Args:
        source: As for `read_backbone_config`; a model with a head serves as well.
        config: What `read_backbone_config` gives.
        dtype: Of the weights.

    Raises:
        ValueError: Some of the weights are not there.
    """
    if config.model_type == TIMM:
        timm_backbone: Any = build_backbone(config, pretrained=True)
        return timm_backbone.to(dtype).state_dict()
    with torch.device("meta"):
        backbone_class: Any = type(build_backbone(config))
    backbone, report = backbone_class.from_pretrained(source, config=config, dtype=dtype, output_loading_info=True)
    missing = sorted(report["missing_keys"])
    if missing:
        raise ValueError(
            f"{source}: expected the weights of a {backbone_class.__name__}, found none for {len(missing)} names, "
            f"such as {missing[0]}."
        )
    return backbone.state_dict()


def backbone_image_fields(source: str | Path) -> dict[str, Any]:
    """Fields of an image processor that follow from a backbone.

    Args:
        source: As for `read_backbone_config`.

    Returns:
        `image_mean` and `image_std` of the source's own image processor, or else those that its family was trained
        with (0.5 for BEiT, ImageNet's for the others); `do_resize` and a `size` whose short edge is 512, rounded up
        to a multiple of the patch size, and whose long edge is four times that.
    """
    config = read_backbone_config(source)
    patch_size = backbone_facts(config).patch_size
    short_edge = math.ceil(_SHORT_EDGE / patch_size) * patch_size
    mean, std = _normalization(source, config)
    return {
        "do_resize": True,
        "size": {"shortest_edge": short_edge, "longest_edge": 4 * short_edge},
        "image_mean": mean,
        "image_std": std,
    }


def _normalization(source: str | Path, config: PreTrainedConfig) -> tuple[list[float], list[float]]:
    if isinstance(config, TimmBackboneConfig):
        # Imported where it is needed: it takes a second.
        import timm

        pretrained: Any = timm.get_pretrained_cfg(config.backbone or "")
        return list(pretrained.mean), list(pretrained.std)
    file = cached_file(
        source,
        "preprocessor_config.json",
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    if file is not None:
        fields = json.loads(Path(file).read_text(encoding="utf-8"))
        if "image_mean" in fields and "image_std" in fields:
            return fields["image_mean"], fields["image_std"]
    is_beit = config.model_type == "beit"
    return (_HALF, _HALF) if is_beit else (list(IMAGENET_DEFAULT_MEAN), list(IMAGENET_DEFAULT_STD))


__all__ = ["backbone_image_fields", "load_backbone_weights", "read_backbone_config"]
