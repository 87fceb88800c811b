"""The plain vision transformer (Dosovitskiy et al., 2021) that all architectures build on.

Follows timm's VisionTransformer and mmsegmentation's VisionTransformer; what differs between them is a field of
`ViTEncoderConfig`. The Shrunk variant follows SegViT's vit_shrink (Zhang et al., 2022).
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from segvit_hf._compat import (
    TransformersKwargs,
    Unpack,
    capture_outputs,
    initialization,
    merge_with_config_defaults,
)
from segvit_hf.encoders.beit import BeitAttention, relative_positions
from segvit_hf.encoders.configuration_vit import ViTEncoderConfig
from segvit_hf.encoders.edge_tokens import EdgeTokens
from segvit_hf.layers.attention import Attention, MultiHeadAttention
from segvit_hf.layers.drop_path import linear_drop_path
from segvit_hf.layers.mlp import GatedMlp, Mlp
from segvit_hf.layers.position_embeddings import resize_position_embeddings
from segvit_hf.layers.resize import Grid, fit_to_patches
from segvit_hf.layers.transformer import TransformerLayer


@dataclass
class ViTEncoderOutput(ModelOutput):
    """What an encoder gives a decoder.

    Args:
        last_hidden_state: (batch, num_tokens, hidden_size), prefix tokens included.
        feature_maps: One (batch, hidden_size, rows, columns) per layer of `config.encoder_out_indices`, shallow first.
        hidden_states: The embeddings and every layer's output, (batch, num_tokens, hidden_size) each.
        attentions: Every layer's probabilities, (batch, num_heads, num_queries, num_tokens) each.
        edge_logits: Where the shrinking layer sees edges, (batch, rows, columns); with `shrink_edge_budget` only.
    """

    last_hidden_state: torch.Tensor | None = None
    feature_maps: tuple[torch.Tensor, ...] | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None
    edge_logits: torch.Tensor | None = None


class ViTEmbeddings(nn.Module):
    """Patches, prefix tokens and position embeddings."""

    def __init__(self, config: ViTEncoderConfig) -> None:
        super().__init__()
        self.config = config
        rows, columns = config.patch_grid
        if config.use_class_token:
            self.cls_token = nn.Parameter(torch.zeros(1, 1, config.hidden_size))
        if config.use_distillation_token:
            self.distillation_token = nn.Parameter(torch.zeros(1, 1, config.hidden_size))
        if config.use_position_embeddings:
            self.position_embeddings = nn.Parameter(
                torch.zeros(1, config.num_prefix_tokens + rows * columns, config.hidden_size)
            )
        self.patch_embeddings = nn.Conv2d(
            config.num_channels,
            config.hidden_size,
            kernel_size=config.patch_size,
            stride=config.patch_size,
            bias=config.patch_bias,
        )
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, Grid]:
        """(batch, channels, height, width), any size -> tokens (batch, num_tokens, hidden_size) and the patch grid."""
        # By default a last row or column of patches that is not full is completed with zeros, as mmsegmentation does.
        pixel_values = fit_to_patches(pixel_values, self.config.patch_size, self.config.backbone_padding)
        patches = self.patch_embeddings(pixel_values.to(self.patch_embeddings.weight.dtype))
        grid = (patches.shape[-2], patches.shape[-1])
        prefix = [getattr(self, name) for name in ("cls_token", "distillation_token") if hasattr(self, name)]
        tokens = [token.expand(len(patches), -1, -1) for token in prefix]
        hidden_states = torch.cat([*tokens, patches.flatten(2).transpose(1, 2)], dim=1)
        if self.config.use_position_embeddings:
            hidden_states = hidden_states + self.position_embeddings_for(grid)
        hidden_states = self.dropout(hidden_states)
        if self.config.drop_prefix_tokens:
            hidden_states = hidden_states[:, self.config.num_prefix_tokens :]
        return hidden_states, grid

    def position_embeddings_for(self, grid: Grid) -> torch.Tensor:
        """Position embeddings of a patch grid, (1, num_prefix_tokens + rows * columns, hidden_size)."""
        stored_grid = self.config.patch_grid
        same_count = grid[0] * grid[1] == stored_grid[0] * stored_grid[1]
        if grid == stored_grid or (same_count and self.config.position_embedding_resize_by == "count"):
            return self.position_embeddings
        return resize_position_embeddings(
            self.position_embeddings,
            num_prefix_tokens=self.config.num_prefix_tokens,
            grid=stored_grid,
            new_grid=grid,
            mode=self.config.position_embedding_interpolation,
            offset=float(self.config.position_embedding_offset),
        )


def build_layer(config: ViTEncoderConfig, index: int) -> TransformerLayer:
    """The encoder's layer number `index`: the one place where the configuration's switches become a layer."""
    sizes: dict[str, Any] = {"hidden_size": config.hidden_size, "num_heads": config.num_attention_heads}
    options: dict[str, Any] = {"qkv_bias": config.qkv_bias, "dropout": config.attention_probs_dropout_prob}
    attention: Attention
    if config.use_relative_position_bias:
        attention = BeitAttention(config, **sizes, **options, stored_grid=config.patch_grid)
    else:
        attention = MultiHeadAttention(config, **sizes, **options)
    mlp = (GatedMlp if config.use_gated_mlp else Mlp)(
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        hidden_act=config.hidden_act,
        dropout=config.hidden_dropout_prob,
    )
    drop_path = linear_drop_path(config.drop_path_rate, index, config.num_hidden_layers)
    return TransformerLayer(
        attention,
        mlp,
        hidden_size=config.hidden_size,
        layer_norm_eps=config.layer_norm_eps,
        dropout=config.hidden_dropout_prob,
        attention_drop_path=drop_path if config.drop_path_on_attention else 0.0,
        mlp_drop_path=drop_path,
        layer_scale_init_value=config.layer_scale_init_value,
    )


def every_second_token(hidden_states: torch.Tensor, grid: Grid, num_prefix_tokens: int) -> tuple[torch.Tensor, Grid]:
    """Every second token in both directions (the first of each pair), with the prefix tokens, and their grid."""
    prefix, patches = hidden_states.split([num_prefix_tokens, grid[0] * grid[1]], dim=1)
    patches = patches.unflatten(1, grid)[:, ::2, ::2]
    grid = (patches.shape[1], patches.shape[2])
    return torch.cat([prefix, patches.flatten(1, 2)], dim=1), grid


class ViTPreTrainedModel(PreTrainedModel):
    """What all models of this package tell transformers about themselves."""

    config: ViTEncoderConfig
    base_model_prefix = "encoder"
    main_input_name = "pixel_values"
    input_modalities = ["image"]
    supports_gradient_checkpointing = True
    _input_embed_layer = "patch_embeddings"
    _supports_sdpa = True

    @classmethod
    def _can_set_attn_implementation(cls) -> bool:
        # transformers looks for its attention interface in the source of a model's own file; ours is called in
        # `layers/attention.py`, by every attention.
        return True

    def _initialize_weights(self, module: nn.Module, *_args: Any) -> None:
        # In code outside of itself transformers takes modules without parameters of their own for initialized, and
        # would never ask `_init_weights` for deformable attention. `initialization` leaves loaded weights alone.
        super()._initialize_weights(module)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Linear):
            initialization.trunc_normal_(module.weight, std=self.config.initializer_range)


class ViTEncoder(ViTPreTrainedModel):
    """A plain ViT that returns the outputs of chosen layers as feature maps."""

    _no_split_modules = ["ViTEmbeddings", "TransformerLayer"]
    _can_record_outputs = {"hidden_states": TransformerLayer, "attentions": Attention}

    def __init__(self, config: ViTEncoderConfig) -> None:
        super().__init__(config)
        self.embeddings = ViTEmbeddings(config)
        self.layers = nn.ModuleList(build_layer(config, index) for index in range(config.num_hidden_layers))
        if config.use_final_norm:
            self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        if config.shrink_edge_budget:
            self.edge_tokens = EdgeTokens(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The convolution that makes tokens of patches."""
        return self.embeddings.patch_embeddings

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, ViTEmbeddings):
            for name in ("position_embeddings", "cls_token", "distillation_token"):
                if hasattr(module, name):
                    initialization.trunc_normal_(getattr(module, name), std=self.config.initializer_range)
        elif isinstance(module, (TransformerLayer, BeitAttention)):
            module.reset_parameters()

    @merge_with_config_defaults
    @capture_outputs(tie_last_hidden_states=False)
    def forward(self, pixel_values: torch.Tensor, **kwargs: Unpack[TransformersKwargs]) -> ViTEncoderOutput:
        """(batch, channels, height, width) of any height and width -> `ViTEncoderOutput`."""
        hidden_states, grid = self.embeddings(pixel_values)
        if self.config.use_relative_position_bias:
            kwargs["relative_positions"] = relative_positions(self.config.patch_grid, grid, hidden_states.device)
        num_prefix_tokens = hidden_states.shape[1] - grid[0] * grid[1]
        out_indices = self.config.encoder_out_indices or []
        feature_maps, edge_logits = [], None
        for index, layer in enumerate(self.layers):
            query_states = None
            if index == self.config.shrink_index and self.config.shrink_edge_budget:
                query_states, edge_logits = self.edge_tokens(hidden_states, grid, num_prefix_tokens)
                grid = (query_states.shape[1] - num_prefix_tokens, 1)  # no grid any more: a column of tokens
            elif index == self.config.shrink_index:
                query_states, grid = every_second_token(hidden_states, grid, num_prefix_tokens)
            hidden_states = layer(hidden_states, query_states, **kwargs)
            if index == len(self.layers) - 1 and self.config.use_final_norm:
                hidden_states = self.norm(hidden_states)
            if index in out_indices:
                output = hidden_states
                if self.config.normalize_feature_maps and index < len(self.layers) - 1:
                    output = self.norm(output)
                feature_maps.append(output[:, num_prefix_tokens:].transpose(1, 2).unflatten(2, grid))
        return ViTEncoderOutput(
            last_hidden_state=hidden_states, feature_maps=tuple(feature_maps), edge_logits=edge_logits
        )


__all__ = ["ViTEncoder", "ViTEncoderOutput", "ViTPreTrainedModel", "build_layer"]
