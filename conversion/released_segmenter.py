"""Segmenter's released checkpoints."""

from dataclasses import dataclass, replace
from typing import Any

from conversion.released_checkpoint import Publication, ReleasedCheckpoint

SEGMENTER = Publication(
    title="Segmenter: Transformer for Semantic Segmentation",
    authors="Strudel, Robin and Garcia, Ricardo and Laptev, Ivan and Schmid, Cordelia",
    venue="Proceedings of the IEEE/CVF International Conference on Computer Vision",
    year=2021,
    paper="https://arxiv.org/abs/2105.05633",
    code="https://github.com/rstrudel/segmenter",
    licence_name="mit",
    licence_link="https://github.com/rstrudel/segmenter/blob/master/LICENSE",
    licence_text="The authors publish code and weights under the MIT licence.",
    citation_key="strudel2021segmenter",
)

MMSEG_SEGMENTER = replace(
    SEGMENTER,
    code="https://github.com/open-mmlab/mmsegmentation/tree/v0.30.0/configs/segmenter",
    licence_name="apache-2.0",
    licence_link="https://github.com/open-mmlab/mmsegmentation/blob/master/LICENSE",
    licence_text="OpenMMLab publishes code and weights under the Apache 2.0 licence.",
    trained_by="OpenMMLab with the architecture of",
)

_BASE_URL = "https://www.rocq.inria.fr/cluster-willow/rstrudel/segmenter/checkpoints"


@dataclass(frozen=True)
class _Backbone:
    """An encoder of the original's config.yml."""

    name: str
    description: str
    d_model: int
    n_heads: int
    n_layers: int
    patch_size: int = 16
    normalization: str = "vit"
    # The ViT-L entries of config.yml lack the field.
    distilled: bool | None = False


_TINY = _Backbone("vit_tiny_patch16_384", "ViT-T/16", 192, 3, 12)
_SMALL = _Backbone("vit_small_patch16_384", "ViT-S/16", 384, 6, 12)
_BASE = _Backbone("vit_base_patch16_384", "ViT-B/16", 768, 12, 12)
_BASE_8 = _Backbone("vit_base_patch8_384", "ViT-B/8", 768, 12, 12, patch_size=8)
_LARGE = _Backbone("vit_large_patch16_384", "ViT-L/16", 1024, 16, 24, distilled=None)
_DEIT = _Backbone(
    "deit_base_distilled_patch16_384", "DeiT-B/16, distilled", 768, 12, 12, normalization="deit", distilled=True
)


@dataclass(frozen=True)
class _Data:
    """What the original's config.yml says per data set, and how we call it."""

    name: str
    label_set: str
    num_labels: int
    dataset_name: str
    dataset_id: str
    image_size: int
    crop: int
    stride: int


_ADE20K = _Data("ade20k", "ade20k", 150, "ADE20K", "zhoubolei/scene_parse_150", 512, 512, 512)
_ADE20K_640 = _Data("ade20k", "ade20k", 150, "ADE20K", "zhoubolei/scene_parse_150", 640, 640, 608)
_PASCAL_CONTEXT = _Data(
    "pascal_context", "pascal_context_voc", 60, "Pascal Context (60 classes)", "pascal-context", 520, 480, 320
)
_CITYSCAPES = _Data("cityscapes", "cityscapes", 19, "Cityscapes", "cityscapes", 1024, 768, 512)


def segmenter_variant(backbone: _Backbone, data: _Data, decoder_layers: int | None) -> dict[str, Any]:
    """What the conversion reads of a `variant.yml`; `decoder_layers` is `None` for the linear decoder."""
    decoder: dict[str, Any] = {"name": "linear"}
    if decoder_layers is not None:
        decoder = {"name": "mask_transformer", "drop_path_rate": 0.0, "dropout": 0.1, "n_layers": decoder_layers}
    net: dict[str, Any] = {
        "image_size": (data.crop, data.crop),
        "patch_size": backbone.patch_size,
        "d_model": backbone.d_model,
        "n_heads": backbone.n_heads,
        "n_layers": backbone.n_layers,
        "normalization": backbone.normalization,
        "backbone": backbone.name,
        "dropout": 0.0,
        "drop_path_rate": 0.1,
        "decoder": decoder,
        "n_cls": data.num_labels,
    }
    if backbone.distilled is not None:
        net["distilled"] = backbone.distilled
    return {
        "net_kwargs": net,
        "dataset_kwargs": {
            "dataset": data.name,
            "image_size": data.image_size,
            "crop_size": data.crop,
            "normalization": backbone.normalization,
        },
        "inference_kwargs": {"im_size": data.image_size, "window_size": data.crop, "window_stride": data.stride},
    }


def _segmenter(
    name: str,
    backbone: _Backbone,
    data: _Data,
    folder: str,
    miou: tuple[float, float],
    *,
    decoder_layers: int | None = 2,
    note: str = "",
) -> ReleasedCheckpoint:
    decoder = "a linear decoder" if decoder_layers is None else "a mask transformer"
    return ReleasedCheckpoint(
        name=f"segmenter-{name}",
        family="segmenter",
        description=f"Segmenter with {backbone.description} and {decoder}",
        repository="rstrudel/segmenter",
        file_name=f"{data.name}/{folder}/checkpoint.pth",
        label_set=data.label_set,
        dataset_name=data.dataset_name,
        dataset_id=data.dataset_id,
        build_original=lambda: segmenter_variant(backbone, data, decoder_layers),
        crop=data.crop,
        stride=data.stride,
        miou_single_scale=miou[0],
        miou_multi_scale=miou[1],
        publication=SEGMENTER,
        note=note,
        base_url=_BASE_URL,
    )


_STRIDE_NOTE = (
    "The configuration beside the file decides the windows' distance, 608 or 640 pixels. The published evaluation "
    "resizes photos to a short side of 512 pixels and enlarges them to 640 after normalization."
)
_LAYER_NOTE = "Its decoder has one layer instead of two; the number is read from the file."

SEGMENTER_CHECKPOINTS: tuple[ReleasedCheckpoint, ...] = (
    _segmenter("seg-t-mask-16-ade20k", _TINY, _ADE20K, "seg_tiny_mask", (38.1, 38.8)),
    _segmenter("seg-s-mask-16-ade20k", _SMALL, _ADE20K, "seg_small_mask", (45.3, 46.9)),
    _segmenter("seg-b-mask-16-ade20k", _BASE, _ADE20K, "seg_base_mask", (48.5, 50.0)),
    _segmenter("seg-b-linear-8-ade20k", _BASE_8, _ADE20K, "seg_base_patch8", (49.5, 50.5), decoder_layers=None),
    _segmenter("seg-l-mask-16-ade20k-640", _LARGE, _ADE20K_640, "seg_large_mask_640", (51.8, 53.6), note=_STRIDE_NOTE),
    _segmenter(
        "seg-b-deit-linear-16-ade20k", _DEIT, _ADE20K, "seg_base_deit_linear", (47.1, 48.1), decoder_layers=None
    ),
    _segmenter("seg-b-deit-mask-16-ade20k", _DEIT, _ADE20K, "seg_base_deit_mask", (48.7, 50.1)),
    _segmenter("seg-l-mask-16-pcontext", _LARGE, _PASCAL_CONTEXT, "seg_large_mask", (58.1, 59.0)),
    _segmenter(
        "seg-l-mask-16-cityscapes",
        _LARGE,
        _CITYSCAPES,
        "seg_large_mask",
        (79.1, 81.3),
        decoder_layers=1,
        note=_LAYER_NOTE,
    ),
)


_MMSEG_BASE_URL = "https://download.openmmlab.com/mmsegmentation/v0.5/segmenter"


def segmenter_mmseg_original(backbone: _Backbone, data: _Data, *, stride: int, is_linear: bool) -> dict[str, Any]:
    """Model dictionary and test pipeline of mmsegmentation's `configs/segmenter`."""
    head: dict[str, Any] = {
        "type": "SegmenterMaskTransformerHead",
        "num_layers": 2,
        "num_heads": backbone.n_heads,
        "embed_dims": backbone.d_model,
    }
    if is_linear:
        head = {"type": "FCNHead", "num_convs": 0, "concat_input": False}
    model = {
        "type": "EncoderDecoder",
        "backbone": {
            "type": "VisionTransformer",
            "img_size": (data.crop, data.crop),
            "patch_size": backbone.patch_size,
            "in_channels": 3,
            "embed_dims": backbone.d_model,
            "num_layers": backbone.n_layers,
            "num_heads": backbone.n_heads,
            "drop_path_rate": 0.1,
            "attn_drop_rate": 0.0,
            "drop_rate": 0.0,
            "final_norm": True,
            "norm_cfg": {"type": "LN", "eps": 1e-6, "requires_grad": True},
            "with_cls_token": True,
            "interpolate_mode": "bicubic",
        },
        "decode_head": {
            **head,
            "in_channels": backbone.d_model,
            "channels": backbone.d_model,
            "num_classes": data.num_labels,
            "dropout_ratio": 0.0,
            "loss_decode": {"type": "CrossEntropyLoss", "loss_weight": 1.0},
        },
        "test_cfg": {"mode": "slide", "crop_size": (data.crop, data.crop), "stride": (stride, stride)},
    }
    transforms = [
        {"type": "Resize", "keep_ratio": True},
        {"type": "RandomFlip"},
        {"type": "Normalize", "mean": [127.5] * 3, "std": [127.5] * 3, "to_rgb": True},
        {"type": "ImageToTensor", "keys": ["img"]},
        {"type": "Collect", "keys": ["img"]},
    ]
    scale = (2048, data.crop)
    return {
        "model": model,
        "test_pipeline": [
            {"type": "LoadImageFromFile"},
            {"type": "MultiScaleFlipAug", "img_scale": scale, "flip": False, "transforms": transforms},
        ],
    }


def _mmseg(
    name: str,
    backbone: _Backbone,
    data: _Data,
    run: str,
    miou: tuple[float, float],
    *,
    stride: int = 480,
    is_linear: bool = False,
    same_model_as: str | None = None,
) -> ReleasedCheckpoint:
    config = run.rsplit("_", 2)[0]  # without date, time and digest
    decoder = "a linear decoder" if is_linear else "a mask transformer"
    return ReleasedCheckpoint(
        name=f"segmenter-mmseg-{name}",
        family="segmenter",
        description=f"Segmenter with {backbone.description} and {decoder}, trained with mmsegmentation",
        repository="open-mmlab/mmsegmentation",
        file_name=f"{config}/{run}.pth",
        label_set=data.label_set,
        dataset_name=data.dataset_name,
        dataset_id=data.dataset_id,
        build_original=lambda: segmenter_mmseg_original(backbone, data, stride=stride, is_linear=is_linear),
        crop=data.crop,
        stride=stride,
        miou_single_scale=miou[0],
        miou_multi_scale=miou[1],
        publication=MMSEG_SEGMENTER,
        base_url=_MMSEG_BASE_URL,
        layout="mmseg",
        same_model_as=same_model_as,
    )


SEGMENTER_MMSEG_CHECKPOINTS: tuple[ReleasedCheckpoint, ...] = (
    _mmseg(
        "vit-t-mask-ade20k",
        _TINY,
        _ADE20K,
        "segmenter_vit-t_mask_8x1_512x512_160k_ade20k_20220105_151706-ffcf7509",
        (39.99, 40.83),
        same_model_as="segmenter-seg-t-mask-16-ade20k",
    ),
    _mmseg(
        "vit-s-linear-ade20k",
        _SMALL,
        _ADE20K,
        "segmenter_vit-s_linear_8x1_512x512_160k_ade20k_20220105_151713-39658c46",
        (45.75, 46.82),
        is_linear=True,
    ),
    _mmseg(
        "vit-s-mask-ade20k",
        _SMALL,
        _ADE20K,
        "segmenter_vit-s_mask_8x1_512x512_160k_ade20k_20220105_151706-511bb103",
        (46.19, 47.85),
        same_model_as="segmenter-seg-s-mask-16-ade20k",
    ),
    _mmseg(
        "vit-b-mask-ade20k",
        _BASE,
        _ADE20K,
        "segmenter_vit-b_mask_8x1_512x512_160k_ade20k_20220105_151706-bc533b08",
        (49.6, 51.07),
        same_model_as="segmenter-seg-b-mask-16-ade20k",
    ),
    _mmseg(
        "vit-l-mask-ade20k-640",
        _LARGE,
        _ADE20K_640,
        "segmenter_vit-l_mask_8x1_512x512_160k_ade20k_20220105_162750-7ef345be",
        (52.16, 53.65),
        stride=608,
        same_model_as="segmenter-seg-l-mask-16-ade20k-640",
    ),
)


__all__ = [
    "SEGMENTER_CHECKPOINTS",
    "SEGMENTER_MMSEG_CHECKPOINTS",
    "segmenter_mmseg_original",
    "segmenter_variant",
]
