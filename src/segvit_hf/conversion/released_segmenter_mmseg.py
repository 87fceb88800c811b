"""The Segmenters that OpenMMLab trained and released with mmsegmentation."""

from dataclasses import replace
from typing import Any

from segvit_hf.conversion.released_checkpoint import ReleasedCheckpoint
from segvit_hf.conversion.released_segmenter import (
    ADE20K,
    ADE20K_640,
    BASE,
    LARGE,
    SEGMENTER,
    SMALL,
    TINY,
    SegmenterBackbone,
    SegmenterData,
)

MMSEG_SEGMENTER = replace(
    SEGMENTER,
    code="https://github.com/open-mmlab/mmsegmentation/tree/v0.30.0/configs/segmenter",
    license_name="apache-2.0",
    license_link="https://github.com/open-mmlab/mmsegmentation/blob/master/LICENSE",
    license_text="OpenMMLab publishes code and weights under the Apache 2.0 license.",
    trained_by="OpenMMLab with the architecture of",
)

_BASE_URL = "https://download.openmmlab.com/mmsegmentation/v0.5/segmenter"


def segmenter_mmseg_original(
    backbone: SegmenterBackbone, data: SegmenterData, *, stride: int, is_linear: bool
) -> dict[str, Any]:
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
    backbone: SegmenterBackbone,
    data: SegmenterData,
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
        file_name=f"{run}.pth",
        label_set=data.label_set,
        dataset_name=data.dataset_name,
        dataset_id=data.dataset_id,
        build_original=lambda: segmenter_mmseg_original(backbone, data, stride=stride, is_linear=is_linear),
        crop=data.crop,
        stride=stride,
        miou_single_scale=miou[0],
        miou_multi_scale=miou[1],
        publication=MMSEG_SEGMENTER,
        base_url=f"{_BASE_URL}/{config}",
        layout="mmseg",
        same_model_as=same_model_as,
    )


SEGMENTER_MMSEG_CHECKPOINTS: tuple[ReleasedCheckpoint, ...] = (
    _mmseg(
        "vit-t-mask-ade20k",
        TINY,
        ADE20K,
        "segmenter_vit-t_mask_8x1_512x512_160k_ade20k_20220105_151706-ffcf7509",
        (39.99, 40.83),
        same_model_as="segmenter-seg-t-mask-16-ade20k",
    ),
    _mmseg(
        "vit-s-linear-ade20k",
        SMALL,
        ADE20K,
        "segmenter_vit-s_linear_8x1_512x512_160k_ade20k_20220105_151713-39658c46",
        (45.75, 46.82),
        is_linear=True,
    ),
    _mmseg(
        "vit-s-mask-ade20k",
        SMALL,
        ADE20K,
        "segmenter_vit-s_mask_8x1_512x512_160k_ade20k_20220105_151706-511bb103",
        (46.19, 47.85),
        same_model_as="segmenter-seg-s-mask-16-ade20k",
    ),
    _mmseg(
        "vit-b-mask-ade20k",
        BASE,
        ADE20K,
        "segmenter_vit-b_mask_8x1_512x512_160k_ade20k_20220105_151706-bc533b08",
        (49.6, 51.07),
        same_model_as="segmenter-seg-b-mask-16-ade20k",
    ),
    _mmseg(
        "vit-l-mask-ade20k-640",
        LARGE,
        ADE20K_640,
        "segmenter_vit-l_mask_8x1_512x512_160k_ade20k_20220105_162750-7ef345be",
        (52.16, 53.65),
        stride=608,
        same_model_as="segmenter-seg-l-mask-16-ade20k-640",
    ),
)


__all__ = ["SEGMENTER_MMSEG_CHECKPOINTS", "segmenter_mmseg_original"]
