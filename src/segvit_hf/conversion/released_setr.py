"""The released checkpoints of SETR (https://github.com/fudan-zvg/SETR): every row of its README's tables."""

from dataclasses import dataclass
from typing import Any

from segvit_hf.conversion.released_checkpoint import Publication, ReleasedCheckpoint

_MEAN = [123.675, 116.28, 103.53]
_STD = [58.395, 57.12, 57.375]
_BATCH_NORM = {"type": "SyncBN", "requires_grad": True}
_SIX_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
_AUXILIARY_LOSS_WEIGHT = 0.4

SETR = Publication(
    title="Rethinking Semantic Segmentation from a Sequence-to-Sequence Perspective with Transformers",
    authors="Zheng, Sixiao and Lu, Jiachen and Zhao, Hengshuang and Zhu, Xiatian and Luo, Zekun and Wang, Yabiao "
    "and Fu, Yanwei and Feng, Jianfeng and Xiang, Tao and Torr, Philip H. S. and Zhang, Li",
    venue="Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition",
    year=2021,
    paper="https://arxiv.org/abs/2012.15840",
    code="https://github.com/fudan-zvg/SETR",
    license_name="mit",
    license_link="https://github.com/fudan-zvg/SETR/blob/main/LICENSE",
    license_text="The authors license their repository under the MIT license.",
    citation_key="zheng2021rethinking",
)


@dataclass(frozen=True)
class SetrEncoder:
    """What differs between SETR's encoders.

    Attributes:
        name: In a preset's name.
        title: In words.
        upsampling_layers: Layers that PUP's auxiliary heads read; Naive reads all but the last with them.
    """

    name: str
    title: str
    model_name: str
    embed_dim: int
    depth: int
    num_heads: int
    upsampling_layers: tuple[int, ...]
    mla_layers: tuple[int, ...]


VIT_LARGE = SetrEncoder("vit-l", "ViT-L", "vit_large_patch16_384", 1024, 24, 16, (9, 14, 19, 23), (5, 11, 17, 23))
_DEIT_BASE = SetrEncoder(
    "deit-b", "DeiT-B", "deit_base_distilled_path16_384", 768, 12, 12, (4, 7, 9, 11), (2, 5, 8, 11)
)
# Naive with an encoder of 12 layers reads others than PUP does.
_VIT_BASE_NAIVE = SetrEncoder("vit-b", "ViT-B", "vit_base_patch16_384", 768, 12, 12, (2, 5, 8, 11), (2, 5, 8, 11))
_DEIT_BASE_NAIVE = SetrEncoder(
    "deit-b", "DeiT-B", "deit_base_distilled_path16_384", 768, 12, 12, (2, 5, 8, 11), (2, 5, 8, 11)
)


@dataclass(frozen=True)
class SetrData:
    """What SETR's configurations say per data set."""

    suffix: str
    label_set: str
    num_classes: int
    dataset_name: str
    dataset_id: str
    scale: tuple[int, int]
    crop: int
    stride: int
    is_pascal_context: bool = False


CITYSCAPES = SetrData("cityscapes", "cityscapes", 19, "Cityscapes", "cityscapes", (2049, 1025), 768, 512)
ADE20K = SetrData("ade20k", "ade20k", 150, "ADE20K", "zhoubolei/scene_parse_150", (2048, 512), 512, 341)
_CONTEXT = SetrData(
    "pascal-context", "pascal_context", 60, "Pascal Context (60 classes)", "pascal-context", (520, 520), 480, 320, True
)


def setr_model(decoder: str, encoder: SetrEncoder, data: SetrData) -> dict[str, Any]:
    """SETR's model dictionary, as the released configurations resolve to it; `decoder`: naive, pup or mla."""
    is_mla = decoder == "mla"
    backbone: dict[str, Any] = {
        "type": "VIT_MLA" if is_mla else "VisionTransformer",
        "model_name": encoder.model_name,
        "img_size": data.crop,
        "patch_size": 16,
        "in_chans": 3,
        "embed_dim": encoder.embed_dim,
        "depth": encoder.depth,
        "num_heads": encoder.num_heads,
        "drop_rate": 0.0,
        "norm_cfg": _BATCH_NORM,
        "pos_embed_interp": True,
        "align_corners": False,
    }
    if is_mla:
        backbone |= {"mla_channels": 256, "mla_index": list(encoder.mla_layers)}
    decode_head, auxiliary_heads = (_mla_heads if is_mla else _up_heads)(decoder, encoder, data)
    return {
        "type": "EncoderDecoder",
        "backbone": backbone,
        "decode_head": decode_head,
        "auxiliary_head": auxiliary_heads,
        "test_cfg": {"mode": "slide", "crop_size": [data.crop] * 2, "stride": [data.stride] * 2},
    }


def _head(kind: str, data: SetrData, loss_weight: float, **fields: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "channels": 512,
        "img_size": data.crop,
        "num_classes": data.num_classes,
        "align_corners": False,
        "loss_decode": {"type": "CrossEntropyLoss", "use_sigmoid": False, "loss_weight": loss_weight},
        **fields,
    }


def _up_heads(decoder: str, encoder: SetrEncoder, data: SetrData) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    is_naive = decoder == "naive"
    common = {
        "in_channels": 1024,
        "embed_dim": encoder.embed_dim,
        "norm_cfg": _BATCH_NORM,
        "upsampling_method": "bilinear",
        "conv3x3_conv1x1": not is_naive,
    }
    steps = {"num_conv": 2, "num_upsampe_layer": 1} if is_naive else {"num_conv": 4, "num_upsampe_layer": 4}
    auxiliary_steps = {"num_conv": 2, "num_upsampe_layer": 1 if is_naive else 2}
    last = encoder.depth - 1
    decode_head = _head("VisionTransformerUpHead", data, 1.0, in_index=last, **common, **steps)
    auxiliary_heads = [
        _head("VisionTransformerUpHead", data, _AUXILIARY_LOSS_WEIGHT, in_index=layer, **common, **auxiliary_steps)
        for layer in encoder.upsampling_layers
        if not (is_naive and layer == last)
    ]
    return decode_head, auxiliary_heads


def _mla_heads(decoder: str, encoder: SetrEncoder, data: SetrData) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    decode_head = _head(
        "VIT_MLAHead", data, 1.0, in_channels=1024, mla_channels=256, mlahead_channels=128, norm_cfg=_BATCH_NORM
    )
    auxiliary_heads = [
        _head("VIT_MLA_AUXIHead", data, _AUXILIARY_LOSS_WEIGHT, in_channels=256, in_index=level)
        for level in range(len(encoder.mla_layers))
    ]
    return decode_head, auxiliary_heads


def setr_test_pipeline(data: SetrData, scales: tuple[float, ...] | None = None) -> list[dict[str, Any]]:
    """SETR's test pipeline.

    Args:
        data: The data set.
        scales: Those of the multi-scale protocol, which also flips and has a resize of its own; `None` for a single
            scale.
    """
    resize: dict[str, Any] = {"type": "Resize", "keep_ratio": True}
    if scales is not None:
        resize |= {"crop_size": [data.crop, data.crop], "setr_multi_scale": True}
    elif data.is_pascal_context:
        resize |= {"dataset": "pascal_context"}
    transforms = [
        resize,
        {"type": "RandomFlip"},
        {"type": "Normalize", "mean": _MEAN, "std": _STD, "to_rgb": True},
        {"type": "ImageToTensor", "keys": ["img"]},
        {"type": "Collect", "keys": ["img"]},
    ]
    augmentation: dict[str, Any] = {"type": "MultiScaleFlipAug", "img_scale": list(data.scale), "flip": False}
    if scales is not None:
        augmentation |= {"img_ratios": list(scales), "flip": True}
    return [{"type": "LoadImageFromFile"}, {**augmentation, "transforms": transforms}]


def multi_scale_ratios(decoder: str, data: SetrData) -> tuple[float, ...]:
    """The scales of SETR's multi-scale protocol; on ADE20K, Naive and MLA have only those up to 1."""
    return _SIX_SCALES[:3] if data is ADE20K and decoder != "pup" else _SIX_SCALES


def _setr(
    decoder: str,
    encoder: SetrEncoder,
    data: SetrData,
    miou: tuple[float, float | None],
    configuration: str,
    drive_id: str | None = None,
    *,
    variant: str = "",
) -> ReleasedCheckpoint:
    ratios = multi_scale_ratios(decoder, data)
    notes = [
        f"Multi-scale protocol of the authors: scales {', '.join(map(str, ratios))} with flip; the short side is then "
        f"never below the crop of {data.crop} pixels, and the long side not capped."
    ]
    if drive_id is None:
        notes.append(
            "The authors published the configuration and the numbers of this model, but not its weights: the preset "
            "converts a file of your own that was trained with the configuration."
        )
    if encoder.name == "deit-b" and decoder == "pup" and data is not CITYSCAPES:
        notes.append(
            "As published the configuration cannot run (its heads are 1024 wide, its encoder 768); heads of 768 are "
            "assumed, as in the Cityscapes configuration."
        )
    return ReleasedCheckpoint(
        name="-".join(filter(None, ("setr", decoder, encoder.name, data.suffix, variant))),
        family="setr",
        description=f"SETR-{decoder.upper() if decoder != 'naive' else 'Naive'} with {encoder.title}",
        repository="fudan-zvg/SETR",
        file_name=f"{configuration}.pth",
        label_set=data.label_set,
        dataset_name=data.dataset_name,
        dataset_id=data.dataset_id,
        build_original=lambda: {
            "model": setr_model(decoder, encoder, data),
            "test_pipeline": setr_test_pipeline(data),
        },
        crop=data.crop,
        stride=data.stride,
        miou_single_scale=miou[0],
        miou_multi_scale=miou[1],
        publication=SETR,
        note=" ".join(notes),
        page=None if drive_id is None else f"https://drive.google.com/file/d/{drive_id}/view?usp=sharing",
        is_released=drive_id is not None,
        build_multi_scale_test_pipeline=lambda: setr_test_pipeline(data, ratios),
    )


def _cityscapes_pair(
    decoder: str,
    encoder: SetrEncoder,
    configuration: str,
    miou: tuple[float, float],
    drive_ids: tuple[str | None, str | None] = (None, None),
) -> tuple[ReleasedCheckpoint, ...]:
    """The checkpoints after 40k and after 80k iterations."""
    return tuple(
        _setr(
            decoder,
            encoder,
            CITYSCAPES,
            (value, None),
            f"SETR_{configuration}_768x768_{iterations}_cityscapes_bs_8",
            drive_id,
            variant=iterations,
        )
        for iterations, value, drive_id in zip(("40k", "80k"), miou, drive_ids, strict=True)
    )


def _ade20k(decoder: str, encoder: SetrEncoder, title: str, batch: int, **more: Any) -> ReleasedCheckpoint:
    configuration = f"SETR_{title}_512x512_160k_ade20k_bs_{batch}"
    return _setr(decoder, encoder, ADE20K, configuration=configuration, **more)


def _context(decoder: str, encoder: SetrEncoder, title: str, batch: int, **more: Any) -> ReleasedCheckpoint:
    configuration = f"SETR_{title}_480x480_80k_pascal_context_bs_{batch}"
    return _setr(decoder, encoder, _CONTEXT, configuration=configuration, **more)


SETR_CHECKPOINTS: tuple[ReleasedCheckpoint, ...] = (
    *_cityscapes_pair(
        "naive",
        VIT_LARGE,
        "Naive",
        (77.37, 77.90),
        ("1f3b7I7IwKx-hcr16afjcxkAyXyeNQCAz", "1dplB4wceJhyVRQfZR5AWODywMN90CY0h"),
    ),
    *_cityscapes_pair(
        "mla",
        VIT_LARGE,
        "MLA",
        (76.65, 77.24),
        ("18k26X-xM7BEQZUjzkvroeGV-6XwPgBqN", "1ke6wcsCwP_J-p8sYriCZ3pC8G61bE0v_"),
    ),
    *_cityscapes_pair(
        "pup",
        VIT_LARGE,
        "PUP",
        (78.39, 79.34),
        ("1DcZltdh6eHwmQ5BvCdHudJRgJUjPzS56", "1469aYtEAuhT39BrHn0yOv1s71unF85JE"),
    ),
    *_cityscapes_pair(
        "naive",
        _VIT_BASE_NAIVE,
        "Naive_Base",
        (75.54, 76.25),
        ("1kGzdSLCazsbgZe0Y1Lo6sNwv9s5V3CAp", "1vOD1-PGNfuM9IUvwnm2CrAXsPkadoyW8"),
    ),
    *_cityscapes_pair("naive", _DEIT_BASE_NAIVE, "Naive_DeiT", (77.85, 78.66)),
    *_cityscapes_pair("mla", _DEIT_BASE, "MLA_DeiT", (78.04, 78.98)),
    *_cityscapes_pair("pup", _DEIT_BASE, "PUP_DeiT", (78.79, 79.45)),
    _ade20k("naive", VIT_LARGE, "Naive", 16, miou=(48.06, 48.80), drive_id="17ZlPBcJRKO3c3XoAeNutrExIETu23qKY"),
    _ade20k(
        "mla", VIT_LARGE, "MLA", 8, miou=(47.79, 50.03), drive_id="1Zcaut5LAKYibjyeCcD3m-aG-ETWW6uhA", variant="bs8"
    ),
    _ade20k("mla", VIT_LARGE, "MLA", 16, miou=(48.64, 50.28), variant="bs16"),
    _ade20k("mla", _DEIT_BASE, "MLA_DeiT", 16, miou=(46.15, 47.71)),
    _ade20k("pup", VIT_LARGE, "PUP", 16, miou=(48.62, 50.09), drive_id="1hCeiz60ITgVPkWsrKwah8JnwM3G8VVL4"),
    _ade20k("pup", _DEIT_BASE, "PUP_DeiT", 16, miou=(46.34, 47.30)),
    _context("naive", VIT_LARGE, "Naive", 16, miou=(52.89, 53.61), drive_id="140T7-wQ3UOzHA0-6pjO3lik_5Vi5RvqJ"),
    _context(
        "mla", VIT_LARGE, "MLA", 8, miou=(54.39, 55.39), drive_id="1XvhUVIMcdcEYUYKudUcV99vOwhisYh61", variant="bs8"
    ),
    _context(
        "mla", VIT_LARGE, "MLA", 16, miou=(55.01, 55.83), drive_id="1k5CwpKfpNUdAFWOuzwWz9PrRwiGS0Xu9", variant="bs16"
    ),
    _context("mla", _DEIT_BASE, "MLA_DeiT", 16, miou=(52.91, 53.74)),
    _context("pup", VIT_LARGE, "PUP", 16, miou=(54.37, 55.27), drive_id="1kXZYyqjA96d2DTL-tRvQjixfDBIZFIyR"),
    _context("pup", _DEIT_BASE, "PUP_DeiT", 16, miou=(52.00, 52.50)),
)


__all__ = [
    "ADE20K",
    "CITYSCAPES",
    "SETR",
    "SETR_CHECKPOINTS",
    "VIT_LARGE",
    "SetrData",
    "SetrEncoder",
    "multi_scale_ratios",
    "setr_model",
    "setr_test_pipeline",
]
