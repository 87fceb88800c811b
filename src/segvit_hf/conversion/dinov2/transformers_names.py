"""From the names of transformers' Dinov2 to DINOv2's own, so that its encoders serve in either naming.

Two generations of transformers' names are known: `attention.attention.query` and `attention.q_proj`.
"""

from collections.abc import Mapping

import torch

from segvit_hf.conversion.key_mapping import Rule, rename, rename_key, under

_SIGNATURE = "embeddings.position_embeddings"
_QKV = ("query", "key", "value")
_LAYER_RULES: tuple[Rule, ...] = (
    *(rename(f"attention.attention.{part}.{{rest}}", f"attn.qkv.{{rest}}[{part}]") for part in _QKV),
    *(rename(f"attention.{part[0]}_proj.{{rest}}", f"attn.qkv.{{rest}}[{part}]") for part in _QKV),
    rename("attention.output.dense.{rest}", "attn.proj.{rest}"),
    rename("attention.o_proj.{rest}", "attn.proj.{rest}"),
    rename("layer_scale{number}.lambda1", "ls{number}.gamma"),
    rename("mlp.weights_in.{rest}", "mlp.w12.{rest}"),
    rename("mlp.gate_proj.{rest}", "mlp.w12.{rest}[gate]"),
    rename("mlp.up_proj.{rest}", "mlp.w12.{rest}[up]"),
    rename("mlp.weights_out.{rest}", "mlp.w3.{rest}"),
    rename("mlp.down_proj.{rest}", "mlp.w3.{rest}"),
    rename("{rest}", "{rest}"),
)
_RULES: tuple[Rule, ...] = (
    rename("embeddings.cls_token", "cls_token"),
    rename("embeddings.mask_token", "mask_token"),
    rename(_SIGNATURE, "pos_embed"),
    rename("embeddings.patch_embeddings.projection.{rest}", "patch_embed.proj.{rest}"),
    rename("layernorm.{rest}", "norm.{rest}"),
    *under("encoder.layer.{layer}.", "blocks.{layer}.", _LAYER_RULES),
)


def with_original_names(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """An encoder's weights by DINOv2's own names; what has them already, or is unknown, keeps its names.

    Projections of queries, keys and values are joined, which takes their memory once more, a layer at a time.
    """
    if _SIGNATURE not in weights:
        return dict(weights)
    renamed = {rename_key(key, _RULES) or key: tensor for key, tensor in weights.items()}
    wholes = {key.removesuffix("[query]") for key in renamed if key.endswith("[query]")}
    for whole in sorted(wholes):
        parts = [f"{whole}[{part}]" for part in _QKV]
        if all(part in renamed for part in parts):
            renamed[whole] = torch.cat([renamed.pop(part) for part in parts])
    return renamed


__all__ = ["with_original_names"]
