"""A Segmenter's weights under the names and in the shapes of mmsegmentation, and their configuration."""

import re
from typing import Any

import torch

from tests.reference import ReferenceCase

_LAYER_NAMES = {
    "norm1": "ln1",
    "norm2": "ln2",
    "attn.qkv.weight": "attn.attn.in_proj_weight",
    "attn.qkv.bias": "attn.attn.in_proj_bias",
    "attn.proj": "attn.attn.out_proj",
    "mlp.fc1": "ffn.layers.0.0",
    "mlp.fc2": "ffn.layers.1",
}
_OTHER_NAMES = {
    "encoder.cls_token": "backbone.cls_token",
    "encoder.pos_embed": "backbone.pos_embed",
    "encoder.patch_embed.proj": "backbone.patch_embed.projection",
    "encoder.norm": "backbone.ln1",
    "decoder.head": "decode_head.conv_seg",
    "decoder.cls_emb": "decode_head.cls_emb",
    "decoder.proj_dec": "decode_head.dec_proj",
    "decoder.proj_patch": "decode_head.patch_proj.weight",
    "decoder.proj_classes": "decode_head.classes_proj.weight",
    "decoder.decoder_norm": "decode_head.decoder_norm",
    "decoder.mask_norm": "decode_head.mask_norm",
}


def mmseg_name(name: str) -> str:
    block = re.fullmatch(r"(encoder|decoder)\.blocks\.(\d+)\.(.*)", name)
    if block:
        prefix = {"encoder": "backbone", "decoder": "decode_head"}[block[1]]
        rest = next(
            theirs + block[3].removeprefix(ours) for ours, theirs in _LAYER_NAMES.items() if block[3].startswith(ours)
        )
        return f"{prefix}.layers.{block[2]}.{rest}"
    return next(
        theirs + name.removeprefix(ours)
        for ours, theirs in _OTHER_NAMES.items()
        if name == ours or name.startswith(f"{ours}.")
    )


def mmseg_state_dict(case: ReferenceCase) -> dict[str, torch.Tensor]:
    """The case's weights as mmsegmentation would store them."""
    state_dict = {}
    for name, tensor in case.state_dict().items():
        if name.startswith("encoder.head"):
            continue
        if name in ("decoder.proj_patch", "decoder.proj_classes"):
            tensor = tensor.T.contiguous()  # x @ P is a linear layer of weight P transposed
        elif name == "decoder.head.weight":
            tensor = tensor[:, :, None, None]  # a convolution of one pixel
        state_dict[mmseg_name(name)] = tensor
    if not any(name.startswith("decode_head.conv_seg") for name in state_dict):
        num_labels, channels = case.arch["decoder"]["n_cls"], case.arch["encoder"]["d_model"]
        state_dict["decode_head.conv_seg.weight"] = torch.zeros(num_labels, channels, 1, 1)
        state_dict["decode_head.conv_seg.bias"] = torch.zeros(num_labels)
    return state_dict


def mmseg_original(case: ReferenceCase) -> dict[str, Any]:
    """The configuration; the encoder interpolates and normalizes as the case's does, unlike the zoo's."""
    encoder, decoder = case.arch["encoder"], case.arch["decoder"]
    head = {"type": "FCNHead", "num_convs": 0, "concat_input": False, "dropout_ratio": 0.0}
    if "n_layers" in decoder:
        head = {
            "type": "SegmenterMaskTransformerHead",
            "num_layers": decoder["n_layers"],
            "num_heads": decoder["n_heads"],
            "embed_dims": decoder["d_model"],
        }
    return {
        "model": {
            "type": "EncoderDecoder",
            "backbone": {
                "type": "VisionTransformer",
                "img_size": encoder["image_size"],
                "patch_size": encoder["patch_size"],
                "embed_dims": encoder["d_model"],
                "num_layers": encoder["n_layers"],
                "num_heads": encoder["n_heads"],
                "final_norm": True,
                "interpolate_mode": "bilinear",
            },
            "decode_head": {
                **head,
                "in_channels": encoder["d_model"],
                "channels": encoder["d_model"],
                "num_classes": decoder["n_cls"],
                "loss_decode": {"type": "CrossEntropyLoss", "loss_weight": 1.0},
            },
            "test_cfg": {"mode": "whole"},
        }
    }
