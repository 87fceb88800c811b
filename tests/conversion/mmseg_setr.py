"""Small SETRs as mmsegmentation's zoo describes them, and weights with its names."""

from typing import Any

import torch

from segvit_hf.conversion.convert import expected_shapes
from segvit_hf.conversion.families import FAMILIES
from segvit_hf.conversion.key_mapping import original_name

WIDTH, NUM_LEVELS = 32, 4
_BATCH_NORM = {"type": "SyncBN", "requires_grad": True}


def mmseg_model(decoder: str) -> dict[str, Any]:
    """The zoo's model dictionary with a small encoder and 5 classes; `decoder`: naive, pup or mla."""
    backbone = {
        "type": "VisionTransformer",
        "img_size": [64, 64],
        "patch_size": 16,
        "in_channels": 3,
        "embed_dims": WIDTH,
        "num_layers": NUM_LEVELS,
        "num_heads": 2,
        "out_indices": list(range(NUM_LEVELS)),
        "drop_rate": 0.0,
        "norm_cfg": {"type": "LN", "eps": 1e-6, "requires_grad": True},
        "with_cls_token": decoder != "mla",
        "interpolate_mode": "bilinear",
    }
    test_cfg = {"mode": "slide", "crop_size": [64, 64], "stride": [43, 43]}
    parts = _mla_parts() if decoder == "mla" else _up_heads(decoder)
    return {"type": "EncoderDecoder", "backbone": backbone, "test_cfg": test_cfg, **parts}


def mmseg_weights(model: dict[str, Any]) -> dict[str, torch.Tensor]:
    """A state dict with the names of the zoo, at random."""
    config = FAMILIES["setr"].config_from_original({"model": model})
    rules = FAMILIES["setr"].rules(config, "mmseg")
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for name, shape in expected_shapes(config).items():
        values = torch.randn(shape, generator=generator) * (0.2 if len(shape) > 1 else 0.5)
        if name.endswith("running_var"):
            values = values.abs() + 0.5
        key = original_name(name, rules)
        assert key is not None, name
        weights[key] = values if not name.endswith("num_batches_tracked") else torch.tensor(0)
    return weights


def _head(kind: str, loss_weight: float, **fields: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "num_classes": 5,
        "dropout_ratio": 0,
        "norm_cfg": _BATCH_NORM,
        "align_corners": False,
        "loss_decode": {"type": "CrossEntropyLoss", "use_sigmoid": False, "loss_weight": loss_weight},
        **fields,
    }


def _up_heads(decoder: str) -> dict[str, Any]:
    steps = {"num_convs": 1, "up_scale": 4} if decoder == "naive" else {"num_convs": 4, "up_scale": 2}
    common = {"in_channels": WIDTH, "channels": 256, "kernel_size": 1 if decoder == "naive" else 3}
    return {
        "decode_head": _head("SETRUPHead", 1.0, in_index=3, **common, **steps),
        "auxiliary_head": [
            _head("SETRUPHead", 0.4, in_index=index, **common, num_convs=2, up_scale=4) for index in range(3)
        ],
    }


def _mla_parts() -> dict[str, Any]:
    auxiliary = {"in_channels": 256, "channels": 256, "num_convs": 0, "kernel_size": 1, "concat_input": False}
    return {
        "neck": {
            "type": "MLANeck",
            "in_channels": [WIDTH] * NUM_LEVELS,
            "out_channels": 256,
            "norm_cfg": _BATCH_NORM,
            "act_cfg": {"type": "ReLU"},
        },
        "decode_head": _head(
            "SETRMLAHead", 1.0, in_channels=[256] * 4, channels=512, in_index=[0, 1, 2, 3], mla_channels=128
        ),
        "auxiliary_head": [_head("FCNHead", 0.4, in_index=index, **auxiliary) for index in range(NUM_LEVELS)],
    }
