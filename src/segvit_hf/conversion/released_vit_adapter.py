"""ViT-Adapter's released segmentation checkpoints."""

from dataclasses import dataclass
from typing import Any

from segvit_hf.conversion.released_checkpoint import Publication, ReleasedCheckpoint

VIT_ADAPTER = Publication(
    title="Vision Transformer Adapter for Dense Predictions",
    authors="Chen, Zhe and Duan, Yuchen and Wang, Wenhai and He, Junjun and Lu, Tong and Dai, Jifeng and Qiao, Yu",
    venue="International Conference on Learning Representations",
    year=2023,
    paper="https://arxiv.org/abs/2205.08534",
    code="https://github.com/czczup/ViT-Adapter",
    license_name="apache-2.0",
    license_link="https://github.com/czczup/ViT-Adapter/blob/main/LICENSE.md",
    license_text="The authors publish code and weights under the Apache 2.0 license.",
    citation_key="chen2023vitadapter",
)

_REPOSITORY = "czczup/ViT-Adapter"
_RELEASES = "https://github.com/czczup/ViT-Adapter/releases/download"
_IMAGENET = ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
# Normalization of the ViT-B and ViT-L weights that were pretrained in JAX; ViT-T keeps ImageNet's.
_JAX = ([127.5, 127.5, 127.5], [127.5, 127.5, 127.5])


@dataclass(frozen=True)
class _Encoder:
    """A row's encoder."""

    description: str
    is_beit: bool
    embed_dim: int
    depth: int
    num_heads: int
    deform_num_heads: int
    deform_ratio: float
    drop_path_rate: float
    pretrain_size: int = 224
    normalization: tuple[list[float], list[float]] = _IMAGENET


_DEIT_TINY = _Encoder("ViT-T (DeiT)", False, 192, 12, 3, 6, 1.0, 0.1)
_DEIT_SMALL = _Encoder("ViT-S (DeiT)", False, 384, 12, 6, 6, 1.0, 0.2)
_DEIT_BASE = _Encoder("ViT-B (DeiT)", False, 768, 12, 12, 12, 0.5, 0.3)
_AUGREG_TINY = _Encoder("ViT-T (AugReg)", False, 192, 12, 3, 6, 1.0, 0.1)
_AUGREG_BASE = _Encoder("ViT-B (AugReg)", False, 768, 12, 12, 12, 0.5, 0.3, 384, _JAX)
_AUGREG_LARGE = _Encoder("ViT-L (AugReg)", False, 1024, 24, 16, 16, 0.5, 0.4, 384, _JAX)
_BEIT_BASE = _Encoder("BEiT-B", True, 768, 12, 12, 12, 0.5, 0.2)
_BEIT_LARGE = _Encoder("BEiT-L", True, 1024, 24, 16, 16, 0.5, 0.3)
_BEITV2_LARGE = _Encoder("BEiTv2-L", True, 1024, 24, 16, 16, 0.5, 0.3)


@dataclass(frozen=True)
class _Data:
    """What the configurations say per data set and crop."""

    suffix: str
    label_set: str
    num_things: int
    num_stuff: int
    dataset_name: str
    dataset_id: str
    scale: tuple[int, int]
    crop: int
    stride: int
    size_divisor: int | None = 32


_ADE20K = ("ade20k", 100, 50, "ADE20K", "zhoubolei/scene_parse_150")
_COCO_10K = ("coco_stuff_10k", 80, 91, "COCO-Stuff 10K", "coco-stuff-10k")
_COCO_164K = ("coco_stuff_164k", 80, 91, "COCO-Stuff 164K", "coco-stuff-164k")
_ADE20K_512 = _Data("ade20k", *_ADE20K, (2048, 512), 512, 341)
_ADE20K_640 = _Data("ade20k-640", *_ADE20K, (2048, 640), 640, 426)
_ADE20K_896 = _Data("ade20k-896", *_ADE20K, (3584, 896), 896, 512)
_COCO_10K_512 = _Data("cocostuff10k", *_COCO_10K, (2048, 512), 512, 341)
_COCO_164K_640 = _Data("cocostuff164k-640", *_COCO_164K, (2560, 640), 640, 426)
_COCO_164K_896 = _Data("cocostuff164k-896", *_COCO_164K, (3584, 896), 896, 512)
_CONTEXT = _Data(
    "pascal-context59",
    "pascal_context_59",
    29,
    30,
    "Pascal Context (59 classes)",
    "pascal-context",
    (4096, 520),
    480,
    320,
)
_CITYSCAPES = _Data(
    "cityscapes", "cityscapes", 8, 11, "Cityscapes", "cityscapes", (2048, 1024), 896, 512, size_divisor=None
)
_MAPILLARY = _Data(
    "mapillary",
    "cityscapes",
    8,
    11,
    "Mapillary Vistas, with Cityscapes' 19 classes",
    "mapillary-vistas",
    (2048, 1024),
    896,
    512,
)


def _backbone(encoder: _Encoder, crop: int) -> dict[str, Any]:
    group = encoder.depth // 4
    common = {
        "patch_size": 16,
        "in_chans": 3,
        "embed_dim": encoder.embed_dim,
        "depth": encoder.depth,
        "num_heads": encoder.num_heads,
        "mlp_ratio": 4,
        "qkv_bias": True,
        "drop_path_rate": encoder.drop_path_rate,
        "pretrain_size": encoder.pretrain_size,
        "conv_inplane": 64,
        "n_points": 4,
        "deform_num_heads": encoder.deform_num_heads,
        "deform_ratio": encoder.deform_ratio,
        "cffn_ratio": 0.25,
        "interaction_indexes": [[group * index, group * (index + 1) - 1] for index in range(4)],
    }
    if encoder.is_beit:
        return {
            **common,
            "type": "BEiTAdapter",
            "img_size": crop,
            "init_values": 1e-6,
            "use_abs_pos_emb": False,
            "use_rel_pos_bias": True,
        }
    return {**common, "type": "ViTAdapter", "img_size": encoder.pretrain_size, "init_values": 0.0, "layer_scale": True}


def upernet_model(encoder: _Encoder, data: _Data) -> dict[str, Any]:
    """The mmsegmentation model dictionary of a row with UperNet."""
    num_classes = data.num_things + data.num_stuff
    shared: dict[str, Any] = {
        "dropout_ratio": 0.1,
        "num_classes": num_classes,
        "norm_cfg": {"type": "SyncBN", "requires_grad": True},
        "align_corners": False,
    }
    return {
        "type": "EncoderDecoder",
        "backbone": _backbone(encoder, data.crop),
        "decode_head": {
            **shared,
            "type": "UPerHead",
            "in_channels": [encoder.embed_dim] * 4,
            "in_index": [0, 1, 2, 3],
            "pool_scales": [1, 2, 3, 6],
            "channels": 1024 if encoder.is_beit else 512,
            "loss_decode": {"type": "CrossEntropyLoss", "use_sigmoid": False, "loss_weight": 1.0},
        },
        "auxiliary_head": {
            **shared,
            "type": "FCNHead",
            "in_channels": encoder.embed_dim,
            "in_index": 2,
            "channels": 256,
            "num_convs": 1,
            "concat_input": False,
            "loss_decode": {"type": "CrossEntropyLoss", "use_sigmoid": False, "loss_weight": 0.4},
        },
        "test_cfg": {"mode": "slide", "crop_size": [data.crop] * 2, "stride": [data.stride] * 2},
    }


def mask2former_model(encoder: _Encoder, data: _Data, num_queries: int) -> dict[str, Any]:
    """The mmsegmentation model dictionary of a row with Mask2Former."""
    is_large = encoder.embed_dim == 1024
    width = 1024 if is_large else 256
    num_heads = 32 if is_large else 8
    positions = {"type": "SinePositionalEncoding", "num_feats": width // 2, "normalize": True}
    feed_forward = {"embed_dims": width, "num_fcs": 2, "ffn_drop": 0.0}
    num_classes = data.num_things + data.num_stuff
    return {
        "type": "EncoderDecoderMask2Former",
        "backbone": _backbone(encoder, data.crop),
        "decode_head": {
            "type": "Mask2FormerHead",
            "in_channels": [encoder.embed_dim] * 4,
            "in_index": [0, 1, 2, 3],
            "feat_channels": width,
            "out_channels": width,
            "num_things_classes": data.num_things,
            "num_stuff_classes": data.num_stuff,
            "num_queries": num_queries,
            "num_transformer_feat_level": 3,
            "positional_encoding": positions,
            "pixel_decoder": {
                "type": "MSDeformAttnPixelDecoder",
                "num_outs": 3,
                "norm_cfg": {"type": "GN", "num_groups": 32},
                "act_cfg": {"type": "ReLU"},
                "positional_encoding": positions,
                "encoder": {
                    "type": "DetrTransformerEncoder",
                    "num_layers": 6,
                    "transformerlayers": {
                        "type": "BaseTransformerLayer",
                        "attn_cfgs": {
                            "type": "MultiScaleDeformableAttention",
                            "embed_dims": width,
                            "num_heads": num_heads,
                            "num_levels": 3,
                            "num_points": 4,
                            "dropout": 0.0,
                        },
                        "ffn_cfgs": {**feed_forward, "type": "FFN", "feedforward_channels": 4 * width},
                        "operation_order": ["self_attn", "norm", "ffn", "norm"],
                    },
                },
            },
            "transformer_decoder": {
                "type": "DetrTransformerDecoder",
                "num_layers": 9,
                "transformerlayers": {
                    "type": "DetrTransformerDecoderLayer",
                    "attn_cfgs": {"type": "MultiheadAttention", "embed_dims": width, "num_heads": num_heads},
                    "ffn_cfgs": {**feed_forward, "feedforward_channels": 4096 if is_large else 2048},
                    "feedforward_channels": 4096 if is_large else 2048,
                    "operation_order": ["cross_attn", "norm", "self_attn", "norm", "ffn", "norm"],
                },
            },
            "loss_cls": {
                "type": "CrossEntropyLoss",
                "use_sigmoid": False,
                "loss_weight": 2.0,
                "class_weight": [1.0] * num_classes + [0.1],
            },
            "loss_mask": {"type": "CrossEntropyLoss", "use_sigmoid": True, "loss_weight": 5.0},
            "loss_dice": {
                "type": "DiceLoss",
                "use_sigmoid": True,
                "activate": True,
                "naive_dice": True,
                "eps": 1.0,
                "loss_weight": 5.0,
            },
        },
        "test_cfg": {"mode": "slide", "crop_size": [data.crop] * 2, "stride": [data.stride] * 2},
    }


def vit_adapter_test_pipeline(encoder: _Encoder, data: _Data) -> list[dict[str, Any]]:
    """The mmsegmentation test pipeline of a row, single scale."""
    mean, std = encoder.normalization
    multiple = [] if data.size_divisor is None else [{"type": "ResizeToMultiple", "size_divisor": data.size_divisor}]
    transforms = [
        {"type": "Resize", "keep_ratio": True},
        *multiple,
        {"type": "RandomFlip"},
        {"type": "Normalize", "mean": list(mean), "std": list(std), "to_rgb": True},
        {"type": "ImageToTensor", "keys": ["img"]},
        {"type": "Collect", "keys": ["img"]},
    ]
    return [
        {"type": "LoadImageFromFile"},
        {"type": "MultiScaleFlipAug", "img_scale": list(data.scale), "flip": False, "transforms": transforms},
    ]


def _row(
    name: str,
    encoder: _Encoder,
    data: _Data,
    file_name: str,
    miou: tuple[float | None, float | None],
    *,
    num_queries: int | None = None,
    note: str = "",
) -> ReleasedCheckpoint:
    decoder = "UperNet" if num_queries is None else "Mask2Former"

    def build_original() -> dict[str, Any]:
        if num_queries is None:
            model = upernet_model(encoder, data)
        else:
            model = mask2former_model(encoder, data, num_queries)
        return {"model": model, "test_pipeline": vit_adapter_test_pipeline(encoder, data)}

    return ReleasedCheckpoint(
        name=f"vit-adapter-{decoder.lower()}-{name}-{data.suffix}",
        family="vit_adapter",
        description=f"ViT-Adapter with {encoder.description} and {decoder}",
        repository=_REPOSITORY,
        base_url=f"{_RELEASES}/{file_name.split('/')[0]}",
        file_name=file_name.split("/")[1],
        label_set=data.label_set,
        dataset_name=data.dataset_name,
        dataset_id=data.dataset_id,
        build_original=build_original,
        crop=data.crop,
        stride=data.stride,
        miou_single_scale=miou[0],
        miou_multi_scale=miou[1],
        publication=VIT_ADAPTER,
        note=note,
    )


_FROM_COCO = "Fine-tuned from the model trained on COCO-Stuff 164K."
_DEIT_SMALL_NOTE = "An earlier table of the authors says 46.6 and 47.4."

VIT_ADAPTER_CHECKPOINTS: tuple[ReleasedCheckpoint, ...] = (
    _row(
        "deit-tiny", _DEIT_TINY, _ADE20K_512, "v0.3.1/upernet_deit_adapter_tiny_512_160_ade20k.pth.tar", (42.6, 43.6)
    ),
    _row(
        "deit-small",
        _DEIT_SMALL,
        _ADE20K_512,
        "v0.3.1/upernet_deit_adapter_small_512_160k_ade20k.pth",
        (46.2, 47.1),
        note=_DEIT_SMALL_NOTE,
    ),
    _row(
        "deit-base", _DEIT_BASE, _ADE20K_512, "v0.3.1/upernet_deit_adapter_base_512_160k_ade20k.pth.tar", (48.8, 49.7)
    ),
    _row(
        "augreg-tiny",
        _AUGREG_TINY,
        _ADE20K_512,
        "v0.3.1/upernet_augreg_adapter_tiny_512_160_ade20k.pth.tar",
        (43.9, 44.8),
    ),
    _row(
        "augreg-base",
        _AUGREG_BASE,
        _ADE20K_512,
        "v0.3.1/upernet_augreg_adapter_base_512_160k_ade20k.pth.tar",
        (51.9, 52.5),
    ),
    _row(
        "augreg-large",
        _AUGREG_LARGE,
        _ADE20K_512,
        "v0.3.1/upernet_augreg_adapter_large_512_160k_ade20k.pth.tar",
        (53.4, 54.4),
    ),
    _row(
        "beit-large",
        _BEIT_LARGE,
        _ADE20K_640,
        "v0.2.1/upernet_beit_adapter_large_640_160k_ade20k.pth.tar",
        (58.0, 58.4),
    ),
    _row(
        "beit-large",
        _BEIT_LARGE,
        _ADE20K_640,
        "v0.2.2/mask2former_beit_adapter_large_640_160k_ade20k.zip",
        (58.3, 59.0),
        num_queries=100,
    ),
    _row(
        "beit-large",
        _BEIT_LARGE,
        _ADE20K_896,
        "v0.2.0/mask2former_beit_adapter_large_896_80k_ade20k.zip",
        (59.4, 60.5),
        num_queries=200,
        note=_FROM_COCO,
    ),
    _row(
        "beitv2-large",
        _BEITV2_LARGE,
        _ADE20K_896,
        "v0.3.1/mask2former_beitv2_adapter_large_896_80k_ade20k.zip",
        (61.2, 61.5),
        num_queries=200,
        note=_FROM_COCO,
    ),
    _row(
        "beit-large",
        _BEIT_LARGE,
        _CITYSCAPES,
        "v0.2.3/mask2former_beit_adapter_large_896_80k_cityscapes.zip",
        (84.9, 85.8),
        num_queries=100,
        note="Fine-tuned from the model trained on Mapillary Vistas.",
    ),
    _row(
        "beit-large",
        _BEIT_LARGE,
        _MAPILLARY,
        "v0.2.3/mask2former_beit_adapter_large_896_80k_mapillary.zip",
        (None, None),
        num_queries=100,
        note="Meant as a start for Cityscapes: Mapillary's labels are mapped to Cityscapes' 19 classes.",
    ),
    _row(
        "beit-base",
        _BEIT_BASE,
        _COCO_10K_512,
        "v0.2.9/mask2former_beit_adapter_base_512_40k_cocostuff10k.pth.tar",
        (50.0, 50.5),
        num_queries=100,
    ),
    _row(
        "beit-large",
        _BEIT_LARGE,
        _COCO_10K_512,
        "v0.2.4/upernet_beit_adapter_large_512_80k_cocostuff10k.pth.tar",
        (51.0, 51.4),
    ),
    _row(
        "beit-large",
        _BEIT_LARGE,
        _COCO_10K_512,
        "v0.2.5/mask2former_beit_adapter_large_512_40k_cocostuff10k.zip",
        (53.2, 54.2),
        num_queries=100,
    ),
    _row(
        "beit-large",
        _BEIT_LARGE,
        _COCO_164K_640,
        "v0.2.6/upernet_beit_adapter_large_640_80k_cocostuff164k.pth.tar",
        (50.5, 50.7),
    ),
    _row(
        "beit-large",
        _BEIT_LARGE,
        _COCO_164K_896,
        "v0.2.6/mask2former_beit_adapter_large_896_80k_cocostuff164k.zip",
        (51.7, 52.0),
        num_queries=200,
    ),
    _row(
        "beitv2-large",
        _BEITV2_LARGE,
        _COCO_164K_896,
        "v0.3.1/mask2former_beitv2_adapter_large_896_80k_cocostuff164k.zip",
        (52.3, None),
        num_queries=200,
    ),
    _row(
        "beit-base",
        _BEIT_BASE,
        _CONTEXT,
        "v0.2.8/mask2former_beit_adapter_base_480_40k_pascal_context_59.pth.tar",
        (64.0, 64.4),
        num_queries=100,
    ),
    _row(
        "beit-large",
        _BEIT_LARGE,
        _CONTEXT,
        "v0.2.7/upernet_beit_adapter_large_480_80k_pascal_context_59.pth.tar",
        (67.0, 67.5),
    ),
    _row(
        "beit-large",
        _BEIT_LARGE,
        _CONTEXT,
        "v0.2.7/mask2former_beit_adapter_large_480_40k_pascal_context_59.zip",
        (67.8, 68.2),
        num_queries=100,
    ),
)

__all__ = ["VIT_ADAPTER_CHECKPOINTS", "mask2former_model", "upernet_model", "vit_adapter_test_pipeline"]
