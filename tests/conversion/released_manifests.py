"""Which manifest (names and shapes of a released file, with its original configuration) belongs to which preset."""

import gzip
import json
from pathlib import Path, PurePosixPath
from typing import Any

from segvit_hf import get_preset, list_presets
from segvit_hf.presets import Preset
from tests.models.dino_models import DINO_FAMILIES
from tests.reference import ReferenceCase, case_names, load_case

# mmsegmentation's model dictionaries and test pipelines of the presets that have no manifest.
ORIGINALS_OF_MMSEG: dict[str, Any] = json.loads(
    gzip.decompress((Path(__file__).parents[1] / "fixtures" / "originals_of_mmseg_presets.json.gz").read_bytes())
)
PRESETS = {name: get_preset(name) for name in list_presets()}
# The names of its file are not known.
WITHOUT_MANIFEST = "dinov2-mask2former-vit-g-14-ade20k"
ORIGINAL_PRESETS = [
    name for name, preset in PRESETS.items() if preset.naming == "original" and name != WITHOUT_MANIFEST
]
# What Segmenter's repository would give for its Cityscapes file, which has one decoder layer instead.
COUNTER_EXAMPLE = "full-seg-l-mask-16-cityscapes-2layers"
# Names and shapes of HLG-Large's file if it has the 84M parameters that its authors name.
DEEPER_CLASSIFIER = "full-cls-large-224-depth18"
# BEiTv2's files have the names and shapes of BEiT's, which the manifests were made of.
_SAME_SHAPES = {
    "mask2former_beitv2_adapter_large_896_80k_ade20k": "mask2former_beit_adapter_large_896_80k_ade20k",
    "mask2former_beitv2_adapter_large_896_80k_cocostuff164k": "mask2former_beit_adapter_large_896_80k_cocostuff164k",
}


def manifests(family: str) -> list[str]:
    """Names of a family's manifests."""
    return [name for name in case_names(family, "full-*") if name not in (COUNTER_EXAMPLE, DEEPER_CLASSIFIER)]


def manifest_of(preset: Preset) -> ReferenceCase:
    """The manifest of a preset's file."""
    fitting = [
        case
        for case in (load_case(preset.family, name) for name in manifests(preset.family))
        if _IS_OF[preset.family](case, preset)
    ]
    assert len(fitting) == 1, (preset.name, [case.name for case in fitting])
    return fitting[0]


def original_of(preset: Preset) -> dict[str, Any]:
    """The original's configuration of a preset, as its project resolves it, with our label set."""
    labels = preset.label_set
    known: dict[str, Any] = {
        "classes": labels.classes,
        "palette": labels.palette or None,
        "reduce_zero_label": labels.reduce_zero_label,
    }
    if preset.naming == "mmseg":
        return {**ORIGINALS_OF_MMSEG[preset.name], **known}
    if preset.name == WITHOUT_MANIFEST:
        return {"model": _giant_of_dinov2(), **known}
    case = manifest_of(preset)
    if preset.family in DINO_FAMILIES:
        return {"model": case.arch, "protocol": case.meta["protocol"], **known}
    if preset.family == "segmenter":
        return {**case.meta["variant"], **known}
    if preset.task != "segmentation":
        known["task"] = preset.task
    protocol = case.meta.get("protocol", case.meta)
    pipelines = {"test_pipeline": protocol.get("test_pipeline")}
    if preset.family == "setr" and preset.multi_scale is not None:
        pipelines["multi_scale_test_pipeline"] = _multi_scale(protocol["test_pipeline"], preset)
    return {"model": case.arch, **pipelines, **known}


def _giant_of_dinov2() -> dict[str, Any]:
    """The recorded small model with the sizes that the printed one of DINOv2's notebook has."""
    arch = load_case("dinov2", "tiny-m2f-adapter").arch
    arch["backbone"] |= {
        "img_size": 518,
        "pretrain_size": 518,
        "embed_dim": 1536,
        "depth": 40,
        "num_heads": 24,
        "conv_inplane": 64,
        "deform_num_heads": 24,
        "interaction_indexes": [[0, 9], [10, 19], [20, 29], [30, 39]],
    }
    head, width = arch["decode_head"], 1536
    weights = [*[1.0] * 150, 0.1]
    head |= {"in_channels": [width] * 4, "feat_channels": width, "out_channels": width, "num_queries": 100}
    head |= {
        "num_things_classes": 100,
        "num_stuff_classes": 50,
        "loss_cls": head["loss_cls"] | {"class_weight": weights},
    }
    for part, name, num_layers in ((head["pixel_decoder"], "encoder", 6), (head, "transformer_decoder", 9)):
        positions = part["positional_encoding"]
        positions["num_feats"] = width // 2
        part[name]["num_layers"] = num_layers
        layers = part[name]["transformerlayers"]
        layers["attn_cfgs"] |= {"embed_dims": width, "num_heads": 32}
        layers["ffn_cfgs"] |= {"embed_dims": width, "feedforward_channels": 4 * width}
        if "feedforward_channels" in layers:
            layers["feedforward_channels"] = 4 * width
    arch["test_cfg"] |= {"crop_size": [896, 896], "stride": [512, 512]}
    return arch


def _multi_scale(test_pipeline: list[Any], preset: Preset) -> list[Any]:
    """SETR's pipeline for several scales, which differs from that for one in its resize."""
    pipeline = json.loads(json.dumps(test_pipeline))
    step = next(step for step in pipeline if step["type"] == "MultiScaleFlipAug")
    step |= {"img_ratios": preset.multi_scale, "flip": True}
    resize = next(transform for transform in step["transforms"] if transform["type"] == "Resize")
    resize.pop("dataset", None)
    resize |= {"crop_size": [preset.crop, preset.crop], "setr_multi_scale": True}
    return pipeline


def _is_of_segvit(case: ReferenceCase, preset: Preset) -> bool:
    same_file = case.meta["released_file"] == preset.file
    return same_file and case.arch["decode_head"]["num_classes"] == preset.num_labels


def _is_of_segmenter(case: ReferenceCase, preset: Preset) -> bool:
    return case.meta["released_file"] == preset.file


def _is_of_setr(case: ReferenceCase, preset: Preset) -> bool:
    configurations = [PurePosixPath(row["config"]).stem for row in case.meta["released"]]
    return preset.file.removesuffix(".pth") in configurations


def _is_of_vit_adapter(case: ReferenceCase, preset: Preset) -> bool:
    stem = PurePosixPath(preset.file).name.removesuffix(".tar").rsplit(".", 1)[0]
    # Both tiny files are spelled `160` in place of `160k`.
    stem = _SAME_SHAPES.get(stem, stem).replace("_512_160_", "_512_160k_")
    return case.name.removeprefix("full-").removesuffix("_ss") == stem


def _is_of_dino(case: ReferenceCase, preset: Preset) -> bool:
    return case.meta["released"]["head"] == PurePosixPath(preset.file).name


def _is_of_hlg(case: ReferenceCase, preset: Preset) -> bool:
    source = PurePosixPath(case.meta["source"]["config"])
    return source.stem == preset.file.removesuffix(".pth")


_IS_OF = {
    "dinov2": _is_of_dino,
    "dinov3": _is_of_dino,
    "hlg": _is_of_hlg,
    "segvit": _is_of_segvit,
    "segmenter": _is_of_segmenter,
    "setr": _is_of_setr,
    "vit_adapter": _is_of_vit_adapter,
}
