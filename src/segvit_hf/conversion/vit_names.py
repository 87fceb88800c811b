"""Names of plain ViT encoders -> those of segvit_hf's ViTEncoder, without the prefixes of the models around them.

Follows timm's vision_transformer.py, BEiT's modeling_finetune.py (https://github.com/microsoft/unilm/tree/master/beit)
and mmsegmentation's backbones/vit.py and beit.py.
"""

from segvit_hf.conversion.key_mapping import Rule, Split, drop, rename, under

_INDEX_TABLE = "which row of the bias table belongs to which pair of patches: computed, not stored"

# What the code of BEiT and that of mmsegmentation's BEiT call alike, below a layer.
_BEIT_LAYER_RULES: tuple[Rule, ...] = (
    rename("gamma_1", "layer_scale1"),
    rename("gamma_2", "layer_scale2"),
    rename("attn.q_bias", "attention.query_bias"),
    rename("attn.v_bias", "attention.value_bias"),
    rename("attn.relative_position_bias_table", "attention.relative_position_bias_table"),
    drop("attn.relative_position_index", _INDEX_TABLE),
)
_EMBEDDING_RULES = (
    rename("cls_token", "embeddings.cls_token"),
    rename("dist_token", "embeddings.distillation_token"),
    rename("pos_embed", "embeddings.position_embeddings"),
)

MMSEG_LAYER_RULES: tuple[Rule, ...] = (
    rename("layers.{layer}.ln1.{rest}", "layers.{layer}.norm1.{rest}"),
    rename("layers.{layer}.attn.attn.in_proj_weight", "layers.{layer}.attention.qkv.weight"),
    rename("layers.{layer}.attn.attn.in_proj_bias", "layers.{layer}.attention.qkv.bias"),
    rename("layers.{layer}.attn.attn.out_proj.{rest}", "layers.{layer}.attention.proj.{rest}"),
    rename("layers.{layer}.ln2.{rest}", "layers.{layer}.norm2.{rest}"),
    rename("layers.{layer}.ffn.layers.0.0.{rest}", "layers.{layer}.mlp.fc1.{rest}"),
    rename("layers.{layer}.ffn.layers.1.{rest}", "layers.{layer}.mlp.fc2.{rest}"),
)
MMSEG_VIT_RULES: tuple[Rule, ...] = (
    *_EMBEDDING_RULES,
    rename("patch_embed.projection.{rest}", "embeddings.patch_embeddings.{rest}"),
    *MMSEG_LAYER_RULES,
    rename("ln1.{rest}", "norm.{rest}"),
)
MMSEG_BEIT_RULES: tuple[Rule, ...] = (
    *under("layers.{layer}.", "layers.{layer}.", _BEIT_LAYER_RULES),
    rename("layers.{layer}.attn.qkv.weight", "layers.{layer}.attention.qkv.weight"),
    rename("layers.{layer}.attn.proj.{rest}", "layers.{layer}.attention.proj.{rest}"),
    *MMSEG_VIT_RULES,
)

TIMM_LAYER_RULES: tuple[Rule, ...] = (
    rename("blocks.{layer}.norm1.{rest}", "layers.{layer}.norm1.{rest}"),
    rename("blocks.{layer}.attn.qkv.{rest}", "layers.{layer}.attention.qkv.{rest}"),
    rename("blocks.{layer}.attn.proj.{rest}", "layers.{layer}.attention.proj.{rest}"),
    rename("blocks.{layer}.norm2.{rest}", "layers.{layer}.norm2.{rest}"),
    rename("blocks.{layer}.mlp.fc1.{rest}", "layers.{layer}.mlp.fc1.{rest}"),
    rename("blocks.{layer}.mlp.fc2.{rest}", "layers.{layer}.mlp.fc2.{rest}"),
)
TIMM_VIT_RULES: tuple[Rule, ...] = (
    *_EMBEDDING_RULES,
    rename("patch_embed.proj.{rest}", "embeddings.patch_embeddings.{rest}"),
    *TIMM_LAYER_RULES,
    rename("norm.{rest}", "norm.{rest}"),
)
# With the layer scale that ViT-Adapter adds to timm's ViT.
SCALED_VIT_RULES: tuple[Rule, ...] = (
    rename("blocks.{layer}.gamma1", "layers.{layer}.layer_scale1"),
    rename("blocks.{layer}.gamma2", "layers.{layer}.layer_scale2"),
    *TIMM_VIT_RULES,
)
_GATED_MLP = "layers.{layer}.mlp"
# DINOv2's plain ViT: each of its gated layers is the first of two matrices in one (see `DINOV2_VIT_SPLITS`).
DINOV2_VIT_RULES: tuple[Rule, ...] = (
    rename("blocks.{layer}.ls1.gamma", "layers.{layer}.layer_scale1"),
    rename("blocks.{layer}.ls2.gamma", "layers.{layer}.layer_scale2"),
    rename("blocks.{layer}.mlp.w12.weight[gate]", f"{_GATED_MLP}.gate_proj.weight"),
    rename("blocks.{layer}.mlp.w12.weight[up]", f"{_GATED_MLP}.up_proj.weight"),
    rename("blocks.{layer}.mlp.w12.bias[gate]", f"{_GATED_MLP}.gate_proj.bias"),
    rename("blocks.{layer}.mlp.w12.bias[up]", f"{_GATED_MLP}.up_proj.bias"),
    rename("blocks.{layer}.mlp.w3.{rest}", f"{_GATED_MLP}.down_proj.{{rest}}"),
    drop("mask_token", "for pretraining, which hides patches: it is never read afterwards"),
    *TIMM_VIT_RULES,
)
DINOV2_VIT_SPLITS: tuple[Split, ...] = (
    Split("blocks.{layer}.mlp.w12.weight", ("gate", "up")),
    Split("blocks.{layer}.mlp.w12.bias", ("gate", "up")),
)
# DINOv2's ViT with an adapter.
DINOV2_ADAPTER_VIT_RULES: tuple[Rule, ...] = (
    rename("blocks.{layer}.mlp.w1.{rest}", f"{_GATED_MLP}.gate_proj.{{rest}}"),
    rename("blocks.{layer}.mlp.w2.{rest}", f"{_GATED_MLP}.up_proj.{{rest}}"),
    rename("blocks.{layer}.mlp.w3.{rest}", f"{_GATED_MLP}.down_proj.{{rest}}"),
    *SCALED_VIT_RULES,
)
BEIT_RULES: tuple[Rule, ...] = (
    *under("blocks.{layer}.", "layers.{layer}.", _BEIT_LAYER_RULES),
    *SCALED_VIT_RULES,
)

__all__ = [
    "BEIT_RULES",
    "DINOV2_ADAPTER_VIT_RULES",
    "DINOV2_VIT_SPLITS",
    "DINOV2_VIT_RULES",
    "MMSEG_BEIT_RULES",
    "MMSEG_LAYER_RULES",
    "MMSEG_VIT_RULES",
    "SCALED_VIT_RULES",
    "TIMM_LAYER_RULES",
    "TIMM_VIT_RULES",
]
