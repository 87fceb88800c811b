"""The checkpoints of SETR in mmsegmentation's zoo (configs/setr of https://github.com/open-mmlab/mmsegmentation)."""

from dataclasses import replace
from typing import Any

from segvit_hf.conversion.released_checkpoint import ReleasedCheckpoint
from segvit_hf.conversion.released_setr import ADE20K, CITYSCAPES, SETR, VIT_LARGE, SetrData, setr_test_pipeline

_ZOO = "https://download.openmmlab.com/mmsegmentation/v0.5/setr"
_BATCH_NORM = {"type": "SyncBN", "requires_grad": True}
_LAYER_NORM = {"type": "LN", "eps": 1e-6, "requires_grad": True}
_RELU = {"type": "ReLU"}
_PUBLICATION = replace(
    SETR,
    code="https://github.com/open-mmlab/mmsegmentation/tree/main/configs/setr",
    license_name="apache-2.0",
    license_link="https://github.com/open-mmlab/mmsegmentation/blob/main/LICENSE",
    license_text="OpenMMLab publishes code and weights under the Apache 2.0 license.",
    trained_by="OpenMMLab with the architecture of",
)


def setr_mmseg_model(decoder: str, data: SetrData) -> dict[str, Any]:
    """Mmsegmentation's model dictionary of SETR with ViT-L; `decoder`: naive, pup or mla."""
    is_mla = decoder == "mla"
    encoder = VIT_LARGE
    model: dict[str, Any] = {
        "type": "EncoderDecoder",
        "backbone": {
            "type": "VisionTransformer",
            "img_size": [data.crop, data.crop],
            "patch_size": 16,
            "in_channels": 3,
            "embed_dims": encoder.embed_dim,
            "num_layers": encoder.depth,
            "num_heads": encoder.num_heads,
            "out_indices": list(encoder.mla_layers if is_mla else encoder.upsampling_layers),
            "drop_rate": 0.0,
            "norm_cfg": _LAYER_NORM,
            "with_cls_token": not is_mla,
            "interpolate_mode": "bilinear",
        },
        "test_cfg": {"mode": "slide", "crop_size": [data.crop] * 2, "stride": [data.stride] * 2},
    }
    return model | (_mla_parts(encoder.embed_dim, data) if is_mla else _up_heads(decoder, encoder.embed_dim, data))


def _head(kind: str, data: SetrData, loss_weight: float, **fields: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "num_classes": data.num_classes,
        "dropout_ratio": 0,
        "norm_cfg": _BATCH_NORM,
        "align_corners": False,
        "loss_decode": {"type": "CrossEntropyLoss", "use_sigmoid": False, "loss_weight": loss_weight},
        **fields,
    }


def _up_heads(decoder: str, width: int, data: SetrData) -> dict[str, Any]:
    kernel_size = 1 if decoder == "naive" else 3
    # Only the Naive configuration of Cityscapes keeps the auxiliary heads of its base configuration.
    auxiliary_convolutions = 1 if decoder == "naive" and data is CITYSCAPES else 2
    steps = {"num_convs": 1, "up_scale": 4} if decoder == "naive" else {"num_convs": 4, "up_scale": 2}
    common = {"in_channels": width, "channels": 256, "kernel_size": kernel_size}
    return {
        "decode_head": _head("SETRUPHead", data, 1.0, in_index=3, **common, **steps),
        "auxiliary_head": [
            _head("SETRUPHead", data, 0.4, in_index=i, **common, num_convs=auxiliary_convolutions, up_scale=4)
            for i in range(3)
        ],
    }


def _mla_parts(width: int, data: SetrData) -> dict[str, Any]:
    return {
        "neck": {
            "type": "MLANeck",
            "in_channels": [width] * 4,
            "out_channels": 256,
            "norm_cfg": _BATCH_NORM,
            "act_cfg": _RELU,
        },
        "decode_head": _head(
            "SETRMLAHead", data, 1.0, in_channels=[256] * 4, channels=512, in_index=[0, 1, 2, 3], mla_channels=128
        ),
        "auxiliary_head": [
            _head(
                "FCNHead",
                data,
                0.4,
                in_channels=256,
                channels=256,
                in_index=i,
                num_convs=0,
                kernel_size=1,
                concat_input=False,
            )
            for i in range(4)
        ],
    }


def _zoo(
    decoder: str, data: SetrData, miou: tuple[float, float], folder: str, stamp: str, *, variant: str = ""
) -> ReleasedCheckpoint:
    name = "-".join(filter(None, (decoder, VIT_LARGE.name, data.suffix, variant)))
    return ReleasedCheckpoint(
        name=f"setr-mmseg-{name}",
        family="setr",
        description=f"SETR-{'Naive' if decoder == 'naive' else decoder.upper()} with ViT-L",
        repository="open-mmlab/mmsegmentation",
        file_name=f"{folder}_{stamp}.pth",
        label_set=data.label_set,
        dataset_name=data.dataset_name,
        dataset_id=data.dataset_id,
        build_original=lambda: {
            "model": setr_mmseg_model(decoder, data),
            "test_pipeline": setr_test_pipeline(data),
        },
        crop=data.crop,
        stride=data.stride,
        miou_single_scale=miou[0],
        miou_multi_scale=miou[1],
        publication=_PUBLICATION,
        note="mmsegmentation's SETR differs from that of the paper's authors in its upsampling and auxiliary heads.",
        base_url=f"{_ZOO}/{folder}",
        layout="mmseg",
        same_model_as=f"setr-{name}",
    )


SETR_MMSEG_CHECKPOINTS: tuple[ReleasedCheckpoint, ...] = (
    _zoo("naive", ADE20K, (48.28, 49.56), "setr_naive_512x512_160k_b16_ade20k", "20210619_191258-061f24f5"),
    _zoo("pup", ADE20K, (48.24, 49.99), "setr_pup_512x512_160k_b16_ade20k", "20210619_191343-7e0ce826"),
    _zoo("mla", ADE20K, (47.34, 49.05), "setr_mla_512x512_160k_b8_ade20k", "20210619_191118-c6d21df0", variant="bs8"),
    _zoo(
        "mla", ADE20K, (47.54, 49.37), "setr_mla_512x512_160k_b16_ade20k", "20210619_191057-f9741de7", variant="bs16"
    ),
    _zoo(
        "naive",
        CITYSCAPES,
        (78.10, 80.22),
        "setr_naive_vit-large_8x1_768x768_80k_cityscapes",
        "20211123_000505-20728e80",
        variant="80k",
    ),
    _zoo(
        "pup",
        CITYSCAPES,
        (79.21, 81.02),
        "setr_pup_vit-large_8x1_768x768_80k_cityscapes",
        "20211122_155115-f6f37b8f",
        variant="80k",
    ),
    _zoo(
        "mla",
        CITYSCAPES,
        (77.00, 79.59),
        "setr_mla_vit-large_8x1_768x768_80k_cityscapes",
        "20211119_101003-7f8dccbe",
        variant="80k",
    ),
)


__all__ = ["SETR_MMSEG_CHECKPOINTS", "setr_mmseg_model"]
