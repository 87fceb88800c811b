"""Segmenter's released checkpoints."""

from dataclasses import dataclass
from typing import Any

from segvit_hf.conversion.released_checkpoint import Publication, ReleasedCheckpoint

SEGMENTER = Publication(
    title="Segmenter: Transformer for Semantic Segmentation",
    authors="Strudel, Robin and Garcia, Ricardo and Laptev, Ivan and Schmid, Cordelia",
    venue="Proceedings of the IEEE/CVF International Conference on Computer Vision",
    year=2021,
    paper="https://arxiv.org/abs/2105.05633",
    code="https://github.com/rstrudel/segmenter",
    license_name="mit",
    license_link="https://github.com/rstrudel/segmenter/blob/master/LICENSE",
    license_text="The authors publish code and weights under the MIT license.",
    citation_key="strudel2021segmenter",
)

_BASE_URL = "https://www.rocq.inria.fr/cluster-willow/rstrudel/segmenter/checkpoints"


@dataclass(frozen=True)
class SegmenterBackbone:
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


TINY = SegmenterBackbone("vit_tiny_patch16_384", "ViT-T/16", 192, 3, 12)
SMALL = SegmenterBackbone("vit_small_patch16_384", "ViT-S/16", 384, 6, 12)
BASE = SegmenterBackbone("vit_base_patch16_384", "ViT-B/16", 768, 12, 12)
BASE_8 = SegmenterBackbone("vit_base_patch8_384", "ViT-B/8", 768, 12, 12, patch_size=8)
LARGE = SegmenterBackbone("vit_large_patch16_384", "ViT-L/16", 1024, 16, 24, distilled=None)
DEIT = SegmenterBackbone(
    "deit_base_distilled_patch16_384", "DeiT-B/16, distilled", 768, 12, 12, normalization="deit", distilled=True
)


@dataclass(frozen=True)
class SegmenterData:
    """What the original's config.yml says per data set, and how we call it."""

    name: str
    label_set: str
    num_labels: int
    dataset_name: str
    dataset_id: str
    image_size: int
    crop: int
    stride: int


ADE20K = SegmenterData("ade20k", "ade20k", 150, "ADE20K", "zhoubolei/scene_parse_150", 512, 512, 512)
ADE20K_640 = SegmenterData("ade20k", "ade20k", 150, "ADE20K", "zhoubolei/scene_parse_150", 640, 640, 608)
PASCAL_CONTEXT = SegmenterData(
    "pascal_context", "pascal_context_voc", 60, "Pascal Context (60 classes)", "pascal-context", 520, 480, 320
)
CITYSCAPES = SegmenterData("cityscapes", "cityscapes", 19, "Cityscapes", "cityscapes", 1024, 768, 512)


def segmenter_variant(backbone: SegmenterBackbone, data: SegmenterData, decoder_layers: int | None) -> dict[str, Any]:
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
    backbone: SegmenterBackbone,
    data: SegmenterData,
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
    _segmenter("seg-t-mask-16-ade20k", TINY, ADE20K, "seg_tiny_mask", (38.1, 38.8)),
    _segmenter("seg-s-mask-16-ade20k", SMALL, ADE20K, "seg_small_mask", (45.3, 46.9)),
    _segmenter("seg-b-mask-16-ade20k", BASE, ADE20K, "seg_base_mask", (48.5, 50.0)),
    _segmenter("seg-b-linear-8-ade20k", BASE_8, ADE20K, "seg_base_patch8", (49.5, 50.5), decoder_layers=None),
    _segmenter("seg-l-mask-16-ade20k-640", LARGE, ADE20K_640, "seg_large_mask_640", (51.8, 53.6), note=_STRIDE_NOTE),
    _segmenter("seg-b-deit-linear-16-ade20k", DEIT, ADE20K, "seg_base_deit_linear", (47.1, 48.1), decoder_layers=None),
    _segmenter("seg-b-deit-mask-16-ade20k", DEIT, ADE20K, "seg_base_deit_mask", (48.7, 50.1)),
    _segmenter("seg-l-mask-16-pcontext", LARGE, PASCAL_CONTEXT, "seg_large_mask", (58.1, 59.0)),
    _segmenter(
        "seg-l-mask-16-cityscapes",
        LARGE,
        CITYSCAPES,
        "seg_large_mask",
        (79.1, 81.3),
        decoder_layers=1,
        note=_LAYER_NOTE,
    ),
)


__all__ = [
    "ADE20K",
    "ADE20K_640",
    "BASE",
    "LARGE",
    "SEGMENTER",
    "SEGMENTER_CHECKPOINTS",
    "SMALL",
    "TINY",
    "SegmenterBackbone",
    "SegmenterData",
    "segmenter_variant",
]
