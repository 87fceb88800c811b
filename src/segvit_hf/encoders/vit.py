"""The plain vision transformer (Dosovitskiy et al., 2021) that SegViT, Segmenter and SETR build on.

Follows timm's VisionTransformer and mmsegmentation's VisionTransformer; what differs between them is a field of
`ViTEncoderConfig`. The Shrunk variant follows SegViT's vit_shrink (Zhang et al., 2022).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from segvit_hf._compat import (
    ACT2FN,
    GradientCheckpointingLayer,
    TransformersKwargs,
    Unpack,
    capture_outputs,
    initialization,
    merge_with_config_defaults,
)
from segvit_hf.encoders.beit import BeitAttention, relative_positions
from segvit_hf.encoders.configuration_vit import ViTEncoderConfig
from segvit_hf.layers.attention import MultiHeadAttention, SelectableAttention
from segvit_hf.layers.drop_path import DropPath
from segvit_hf.layers.position_embeddings import resize_position_embeddings


@dataclass
class ViTEncoderOutput(ModelOutput):
    """Args:
    last_hidden_state: (batch, num_tokens, hidden_size), prefix tokens included.
    feature_maps: One (batch, hidden_size, rows, columns) per layer of `config.encoder_out_indices`, shallow first.
    hidden_states: The embeddings and every layer's output, (batch, num_tokens, hidden_size) each.
    attentions: Every layer's probabilities, (batch, num_heads, num_queries, num_tokens) each.
    """

    last_hidden_state: torch.Tensor | None = None
    feature_maps: tuple[torch.Tensor, ...] | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


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
            config.num_channels, config.hidden_size, kernel_size=config.patch_size, stride=config.patch_size
        )
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, tuple[int, int]]:
        """(batch, channels, height, width), any size -> tokens (batch, num_tokens, hidden_size) and the patch grid."""
        height, width = pixel_values.shape[-2:]
        patch_size = self.config.patch_size
        # A last row or column of patches that is not full is completed with zeros, as mmsegmentation does.
        pixel_values = F.pad(pixel_values, (0, -width % patch_size, 0, -height % patch_size))
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

    def position_embeddings_for(self, grid: tuple[int, int]) -> torch.Tensor:
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
        )


class FeedForward(nn.Module):
    """Two linear layers with an activation in between; dropout after each."""

    def __init__(self, *, hidden_size: int, intermediate_size: int, hidden_act: str, dropout: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(hidden_size, intermediate_size)
        self.activation = ACT2FN[hidden_act]
        self.fc2 = nn.Linear(intermediate_size, hidden_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """(..., hidden_size) -> (..., hidden_size), without the residual."""
        return self.dropout(self.fc2(self.dropout(self.activation(self.fc1(hidden_states)))))


class ViTLayer(GradientCheckpointingLayer):
    """Pre-norm transformer layer.

    Args:
        config: Names the attention implementation, and gives what the other arguments leave open.
        drop_path: Stochastic depth of this layer.
        hidden_size, num_heads, intermediate_size, dropout, layer_norm_eps:
            For layers of another width than the encoder's (a decoder's). `dropout` is that of attention
            probabilities, too.
    """

    def __init__(
        self,
        config: ViTEncoderConfig,
        *,
        drop_path: float,
        hidden_size: int | None = None,
        num_heads: int | None = None,
        intermediate_size: int | None = None,
        dropout: float | None = None,
        layer_norm_eps: float | None = None,
    ) -> None:
        super().__init__()
        hidden_size = config.hidden_size if hidden_size is None else hidden_size
        layer_norm_eps = config.layer_norm_eps if layer_norm_eps is None else layer_norm_eps
        hidden_dropout = config.hidden_dropout_prob if dropout is None else dropout
        self.norm1 = nn.LayerNorm(hidden_size, eps=layer_norm_eps)
        self.attention: MultiHeadAttention
        if config.use_relative_position_bias:
            self.attention = BeitAttention(config)
        else:
            self.attention = MultiHeadAttention(
                config,
                hidden_size=hidden_size,
                num_heads=config.num_attention_heads if num_heads is None else num_heads,
                qkv_bias=config.qkv_bias,
                dropout=config.attention_probs_dropout_prob if dropout is None else dropout,
            )
        self.attention_dropout = nn.Dropout(hidden_dropout)
        self.attention_drop_path = DropPath(drop_path if config.drop_path_on_attention else 0.0)
        self.norm2 = nn.LayerNorm(hidden_size, eps=layer_norm_eps)
        self.mlp = FeedForward(
            hidden_size=hidden_size,
            intermediate_size=config.intermediate_size if intermediate_size is None else intermediate_size,
            hidden_act=config.hidden_act,
            dropout=hidden_dropout,
        )
        self.drop_path = DropPath(drop_path)
        self.use_layer_scale = config.layer_scale_init_value is not None
        if self.use_layer_scale:
            self.layer_scale1 = nn.Parameter(torch.ones(hidden_size))
            self.layer_scale2 = nn.Parameter(torch.ones(hidden_size))

    def forward(
        self,
        hidden_states: torch.Tensor,
        query_states: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> torch.Tensor:
        """Args:
            hidden_states: (batch, num_tokens, hidden_size).
            query_states: (batch, num_queries, hidden_size), a subset of the tokens that alone goes on (Shrunk).
            **kwargs: Passed to the attention; BEiT's needs `relative_positions`.

        Returns:
            (batch, num_queries or num_tokens, hidden_size).
        """
        residual = hidden_states if query_states is None else query_states
        attention_output, _ = self.attention(
            self.norm1(hidden_states), None if query_states is None else self.norm1(query_states), **kwargs
        )
        attention_output = self.attention_dropout(attention_output)
        if self.use_layer_scale:
            attention_output = self.layer_scale1 * attention_output
        hidden_states = residual + self.attention_drop_path(attention_output)
        mlp_output = self.mlp(self.norm2(hidden_states))
        if self.use_layer_scale:
            mlp_output = self.layer_scale2 * mlp_output
        return hidden_states + self.drop_path(mlp_output)


def every_second_token(
    hidden_states: torch.Tensor, grid: tuple[int, int], num_prefix_tokens: int
) -> tuple[torch.Tensor, tuple[int, int]]:
    """Every second token in both directions (the first of each pair), with the prefix tokens, and their grid."""
    prefix, patches = hidden_states.split([num_prefix_tokens, grid[0] * grid[1]], dim=1)
    patches = patches.unflatten(1, grid)[:, ::2, ::2]
    grid = (patches.shape[1], patches.shape[2])
    return torch.cat([prefix, patches.flatten(1, 2)], dim=1), grid


class ViTEncoder(SelectableAttention, PreTrainedModel):
    """A plain ViT that returns the outputs of chosen layers as feature maps."""

    config: ViTEncoderConfig
    base_model_prefix = "encoder"
    main_input_name = "pixel_values"
    input_modalities = ["image"]
    supports_gradient_checkpointing = True
    _no_split_modules = ["ViTEmbeddings", "ViTLayer"]
    _input_embed_layer = "patch_embeddings"
    _supports_sdpa = True
    _can_record_outputs = {"hidden_states": ViTLayer, "attentions": MultiHeadAttention}

    def __init__(self, config: ViTEncoderConfig) -> None:
        super().__init__(config)
        self.embeddings = ViTEmbeddings(config)
        last = max(config.num_hidden_layers - 1, 1)
        self.layers = nn.ModuleList(
            ViTLayer(config, drop_path=config.drop_path_rate * index / last)
            for index in range(config.num_hidden_layers)
        )
        if config.use_final_norm:
            self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings.patch_embeddings

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        std = self.config.initializer_range
        if isinstance(module, nn.Linear):
            initialization.trunc_normal_(module.weight, std=std)
        elif isinstance(module, ViTEmbeddings):
            for name in ("position_embeddings", "cls_token", "distillation_token"):
                if hasattr(module, name):
                    initialization.trunc_normal_(getattr(module, name), std=std)
        elif isinstance(module, ViTLayer) and module.use_layer_scale:
            for factors in (module.layer_scale1, module.layer_scale2):
                initialization.constant_(factors, float(self.config.layer_scale_init_value or 0))
        elif isinstance(module, BeitAttention):
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
        feature_maps = []
        for index, layer in enumerate(self.layers):
            query_states = None
            if index == self.config.shrink_index:
                query_states, grid = every_second_token(hidden_states, grid, num_prefix_tokens)
            hidden_states = layer(hidden_states, query_states, **kwargs)
            if index == len(self.layers) - 1 and self.config.use_final_norm:
                hidden_states = self.norm(hidden_states)
            if index in out_indices:
                feature_maps.append(hidden_states[:, num_prefix_tokens:].transpose(1, 2).unflatten(2, grid))
        return ViTEncoderOutput(last_hidden_state=hidden_states, feature_maps=tuple(feature_maps))


__all__ = ["FeedForward", "ViTEncoder", "ViTEncoderOutput", "ViTLayer"]
