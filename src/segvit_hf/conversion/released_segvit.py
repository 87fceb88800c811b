"""SegViT's released checkpoints."""

from dataclasses import dataclass
from typing import Any

from segvit_hf.conversion.released_checkpoint import Publication, ReleasedCheckpoint

_IMAGENET_MEAN = [123.675, 116.28, 103.53]
_IMAGENET_STD = [58.395, 57.12, 57.375]
# Normalization of the ViT-L weights that were pretrained in JAX.
_JAX_MEAN_AND_STD = [127.5, 127.5, 127.5]

SEGVIT = Publication(
    title="SegViT: Semantic Segmentation with Plain Vision Transformers",
    authors="Zhang, Bowen and Tian, Zhi and Tang, Quan and Chu, Xiangxiang and Wei, Xiaolin and Shen, Chunhua "
    "and Liu, Yifan",
    venue="Advances in Neural Information Processing Systems",
    year=2022,
    paper="https://arxiv.org/abs/2210.05844",
    code="https://github.com/zbwxp/SegVit",
    license_name="bsd-2-clause-non-commercial",
    license_link="https://github.com/zbwxp/SegVit/blob/master/LICENSE",
    license_text="The authors license the weights under the 2-clause BSD license for academic, non-commercial use; "
    "for commercial use, contact the authors.",
    citation_key="zhang2022segvit",
)


@dataclass(frozen=True)
class _SegVitSize:
    """What differs between SegViT's two encoders."""

    embed_dims: int
    num_layers: int
    num_heads: int
    drop_path_rate: float
    out_indices: tuple[int, ...]
    shrunk_out_indices: tuple[int, ...] = ()


_BASE = _SegVitSize(768, 12, 12, 0.1, (5, 7, 11))
_LARGE = _SegVitSize(1024, 24, 16, 0.3, (7, 15, 23), (7, 23))
_SHRINK_LAYER = 8


def segvit_model(size: _SegVitSize, *, crop: int, stride: int, num_classes: int, shrunk: bool) -> dict[str, Any]:
    """SegViT's mmsegmentation model dictionary, as the released configurations resolve to it."""
    out_indices = list(size.shrunk_out_indices if shrunk else size.out_indices)
    backbone: dict[str, Any] = {
        "type": "vit_shrink" if shrunk else "VisionTransformer",
        "img_size": [crop, crop],
        "patch_size": 16,
        "in_channels": 3,
        "embed_dims": size.embed_dims,
        "num_layers": size.num_layers,
        "num_heads": size.num_heads,
        "drop_path_rate": size.drop_path_rate,
        "attn_drop_rate": 0.0,
        "drop_rate": 0.0,
        "out_indices": out_indices,
        "final_norm": False,
        "norm_cfg": {"type": "LN", "eps": 1e-6, "requires_grad": True},
        "with_cls_token": False,
        "interpolate_mode": "bicubic",
    }
    if shrunk:
        backbone["shrink_idx"] = _SHRINK_LAYER
    return {
        "segmentor": "EncoderDecoder",
        "backbone": backbone,
        "decode_head": {
            "type": "TPNATMHead" if shrunk else "ATMHead",
            "img_size": crop,
            "in_channels": size.embed_dims,
            "channels": size.embed_dims,
            "num_classes": num_classes,
            "num_layers": 3,
            "num_heads": size.num_heads,
            "use_stages": len(out_indices),
            "embed_dims": size.embed_dims // 2,
            # The Shrunk configurations keep the three outputs of the ones that they derive from.
            "loss_decode": {"type": "ATMLoss", "num_classes": num_classes, "dec_layers": 3, "loss_weight": 1.0},
        },
        "test_cfg": {"mode": "slide", "crop_size": [crop, crop], "stride": [stride, stride]},
    }


def segvit_test_pipeline(
    *, scale: tuple[int, int], min_size: int | None, mean: list[float], std: list[float]
) -> list[dict[str, Any]]:
    """SegViT's mmsegmentation test pipeline."""
    resize: dict[str, Any] = {"type": "Resize", "keep_ratio": True}
    if min_size is not None:
        resize["min_size"] = min_size
    transforms = [
        resize,
        {"type": "RandomFlip"},
        {"type": "Normalize", "mean": list(mean), "std": list(std), "to_rgb": True},
        {"type": "ImageToTensor", "keys": ["img"]},
        {"type": "Collect", "keys": ["img"]},
    ]
    return [
        {"type": "LoadImageFromFile"},
        {"type": "MultiScaleFlipAug", "img_scale": list(scale), "flip": False, "transforms": transforms},
    ]


@dataclass(frozen=True)
class _SegVitData:
    """What SegViT's configurations say per data set."""

    suffix: str
    label_set: str
    num_classes: int
    dataset_name: str
    dataset_id: str
    scale: tuple[int, int]
    crop: int
    stride: int
    min_size: int | None
    note: str = ""


_CONTEXT_NOTE = (
    "The README and the file's name say 59 classes, the released configuration says 60 (background included). "
    "The class count is read from the file, and the fitting one of the two presets is used."
)
_ADE20K_512 = _SegVitData("ade20k", "ade20k", 150, "ADE20K", "zhoubolei/scene_parse_150", (2048, 512), 512, 341, None)
_ADE20K_640 = _SegVitData("ade20k", "ade20k", 150, "ADE20K", "zhoubolei/scene_parse_150", (2048, 640), 640, 608, None)
_COCO_STUFF = _SegVitData(
    "cocostuff10k", "coco_stuff_10k", 171, "COCO-Stuff 10K", "coco-stuff-10k", (2048, 512), 512, 341, 512
)
_CONTEXT = _SegVitData(
    "pascal-context",
    "pascal_context",
    60,
    "Pascal Context (60 classes)",
    "pascal-context",
    (520, 520),
    480,
    320,
    480,
    _CONTEXT_NOTE,
)
_CONTEXT_59 = _SegVitData(
    "pascal-context59",
    "pascal_context_59",
    59,
    "Pascal Context (59 classes)",
    "pascal-context",
    (520, 520),
    480,
    320,
    480,
    _CONTEXT_NOTE,
)


def _segvit(
    data: _SegVitData, size: _SegVitSize, file_name: str, miou: tuple[float, float], *, shrunk: bool = False
) -> ReleasedCheckpoint:
    letter, is_base = ("b", True) if size is _BASE else ("l", False)
    mean, std = (_IMAGENET_MEAN, _IMAGENET_STD) if is_base else (_JAX_MEAN_AND_STD, _JAX_MEAN_AND_STD)
    return ReleasedCheckpoint(
        name=f"segvit-vit-{letter}-{'shrunk-' if shrunk else ''}{data.suffix}",
        family="segvit",
        description=f"SegViT with ViT-{letter.upper()}{', Shrunk' if shrunk else ''}",
        repository="Akide/SegViTv1",
        file_name=file_name,
        label_set=data.label_set,
        dataset_name=data.dataset_name,
        dataset_id=data.dataset_id,
        build_original=lambda: {
            "model": segvit_model(
                size, crop=data.crop, stride=data.stride, num_classes=data.num_classes, shrunk=shrunk
            ),
            "test_pipeline": segvit_test_pipeline(scale=data.scale, min_size=data.min_size, mean=mean, std=std),
        },
        crop=data.crop,
        stride=data.stride,
        miou_single_scale=miou[0],
        miou_multi_scale=miou[1],
        publication=SEGVIT,
        note=data.note,
    )


SEGVIT_CHECKPOINTS: tuple[ReleasedCheckpoint, ...] = (
    _segvit(_ADE20K_512, _BASE, "ade_51.3.pth", (51.3, 53.0)),
    _segvit(_ADE20K_640, _LARGE, "ade_54.6.pth", (54.6, 55.2)),
    _segvit(_ADE20K_640, _LARGE, "ade_shrunk_53.9.pth", (53.9, 55.1), shrunk=True),
    _segvit(_COCO_STUFF, _LARGE, "COCOstuff_49.9.pth", (49.9, 50.3)),
    _segvit(_COCO_STUFF, _LARGE, "COCOstuff10k_shrunk_49.1.pth", (49.1, 49.4), shrunk=True),
    _segvit(_CONTEXT, _LARGE, "PC59cls_64.1.pth", (64.1, 65.3)),
    _segvit(_CONTEXT_59, _LARGE, "PC59cls_64.1.pth", (64.1, 65.3)),
    _segvit(_CONTEXT, _LARGE, "PC59cls_62.3.pth", (62.3, 63.7), shrunk=True),
    _segvit(_CONTEXT_59, _LARGE, "PC59cls_62.3.pth", (62.3, 63.7), shrunk=True),
)


__all__ = ["SEGVIT_CHECKPOINTS", "segvit_model", "segvit_test_pipeline"]
