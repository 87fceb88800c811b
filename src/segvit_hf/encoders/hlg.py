"""HLG's encoder: hierarchical local-global attention (Zhang et al., IJCV 2024).

Follows mmseg/models/backbones/hlg.py and hlg-classification/models/hlg.py of https://github.com/fudan-zvg/SETR, none
of which runs as it was published: what had to be repaired is told in the package's README. Inputs may have any size.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import nn
from transformers.utils import ModelOutput

from segvit_hf._compat import (
    GradientCheckpointingLayer,
    TransformersKwargs,
    Unpack,
    capture_outputs,
    merge_with_config_defaults,
)
from segvit_hf.encoders.configuration_hlg import NUM_STAGES, HlgEncoderConfig
from segvit_hf.encoders.hlg_attention import FullAttention, LocalGlobalAttention, ProjectedAttention
from segvit_hf.encoders.vit import ViTPreTrainedModel
from segvit_hf.layers.convolution import ConvNormAct, reset_convolution_as_torch
from segvit_hf.layers.drop_path import DropPath, linear_drop_path
from segvit_hf.layers.layer_norm import layer_norm_map


@dataclass
class HlgEncoderOutput(ModelOutput):
    """What the encoder gives.

    Args:
        feature_maps: Four (batch, hidden_sizes[k], rows, columns) of strides 4, 8, 16 and 32, finest first. The last
            one is normalized, and with `config.use_stage_norms` all of them.
        stem_map: (batch, hidden_sizes[0], rows, columns) of stride 2, what the first stage starts from.
        hidden_states: The stem's map and every layer's output, maps as above.
        attentions: Every layer's global probabilities, (batch, num_heads, num_tokens, num_keys): keys are window
            tokens in the first three stages, all tokens in the last.
    """

    feature_maps: tuple[torch.Tensor, ...] | None = None
    stem_map: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


class DepthwiseMlp(nn.Module):
    """A feed-forward layer with a depthwise 3x3 convolution in its middle, of stride 2 where it halves the map.

    Args:
        in_channels: Channels of the input.
        intermediate_size: Channels in the middle.
        out_channels: Channels of the output.
        stride: Of the depthwise convolution.
        dropout: Dropout probability.
    """

    def __init__(
        self, in_channels: int, intermediate_size: int, out_channels: int, *, stride: int = 1, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.expansion = ConvNormAct(in_channels, intermediate_size, bias=True, activation="gelu")
        self.depthwise = ConvNormAct(
            intermediate_size,
            intermediate_size,
            kernel_size=3,
            stride=stride,
            groups=intermediate_size,
            bias=True,
            activation="gelu",
        )
        self.projection = nn.Conv2d(intermediate_size, out_channels, kernel_size=1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, feature_map: torch.Tensor) -> torch.Tensor:
        """(batch, in_channels, rows, columns) -> (batch, out_channels, rows / stride, columns / stride)."""
        feature_map = self.dropout(self.expansion(feature_map))
        return self.dropout(self.projection(self.dropout(self.depthwise(feature_map))))


class HlgLayer(GradientCheckpointingLayer):
    """One layer: the feed-forward part, which comes first, then attention.

    Args:
        config: The encoder's configuration.
        stage: Which stage it is in, 0-based.
        index: Which layer of the stage it is, 0-based: the first halves the map, every other one has dilated windows.
        drop_path: Probability of stochastic depth.
    """

    def __init__(self, config: HlgEncoderConfig, *, stage: int, index: int, drop_path: float) -> None:
        super().__init__()
        width, is_first = config.hidden_sizes[stage], index == 0
        in_channels = config.hidden_sizes[max(stage - 1, 0)] if is_first else width
        stride = 2 if is_first else 1
        intermediate_size = int(config.mlp_ratio * (in_channels if config.mlp_width_of == "input" else width))
        self.shortcut: nn.Module = nn.Identity()
        if is_first:
            self.shortcut = ConvNormAct(
                in_channels,
                width,
                kernel_size=3,
                stride=stride,
                groups=in_channels,
                bias=True,
                activation="gelu",
            )
        self.mlp = DepthwiseMlp(
            in_channels, intermediate_size, width, stride=stride, dropout=config.hidden_dropout_prob
        )
        self.mlp_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        num_heads = config.num_attention_heads[stage]
        self.attention: nn.Module
        if stage == NUM_STAGES - 1:
            self.attention = FullAttention(config, hidden_size=width, num_heads=num_heads)
        else:
            self.attention = LocalGlobalAttention(
                config, hidden_size=width, num_heads=num_heads, dilated=index % 2 == 1
            )
        self.drop_path = DropPath(drop_path)

    def forward(self, feature_map: torch.Tensor, **kwargs: Unpack[TransformersKwargs]) -> torch.Tensor:
        """(batch, channels, rows, columns) -> (batch, width, rows / stride, columns / stride)."""
        mlp_output = layer_norm_map(self.mlp_norm, self.mlp(feature_map))
        feature_map = self.shortcut(feature_map) + self.drop_path(mlp_output)
        feature_map, attention_output = self.attention(feature_map, **kwargs)
        return feature_map + self.drop_path(attention_output)


def build_stage(config: HlgEncoderConfig, stage: int, indices: range) -> nn.ModuleList:
    """The layers of a stage, `indices` among those of the whole encoder."""
    return nn.ModuleList(
        HlgLayer(
            config,
            stage=stage,
            index=position,
            drop_path=linear_drop_path(config.drop_path_rate, index, config.num_hidden_layers),
        )
        for position, index in enumerate(indices)
    )


class HlgPreTrainedModel(ViTPreTrainedModel):
    """What all models with HLG's encoder tell transformers about themselves."""

    config: HlgEncoderConfig  # type: ignore[assignment]
    _no_split_modules = ["HlgLayer"]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Conv2d):
            reset_convolution_as_torch(module)


class HlgEncoder(HlgPreTrainedModel):
    """Four stages of layers at strides 4 to 32; returns every stage's output as a feature map."""

    _can_record_outputs = {"hidden_states": HlgLayer, "attentions": ProjectedAttention}

    def __init__(self, config: HlgEncoderConfig) -> None:
        super().__init__(config)
        width = config.hidden_sizes[0]
        self.stem = nn.ModuleList(
            ConvNormAct(channels, width, kernel_size=3, stride=stride, activation="gelu")
            for channels, stride in ((config.num_channels, 2), (width, 1))
        )
        ends = [sum(config.depths[:stage]) for stage in range(NUM_STAGES + 1)]
        self.stages = nn.ModuleList(
            build_stage(config, stage, range(first, end)) for stage, (first, end) in enumerate(pairwise(ends))
        )
        # The last stage is normalized in every variant.
        normalized = range(0 if config.use_stage_norms else NUM_STAGES - 1, NUM_STAGES)
        self.norms = nn.ModuleDict(
            {str(stage): nn.LayerNorm(config.hidden_sizes[stage], eps=config.layer_norm_eps) for stage in normalized}
        )
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The first convolution."""
        return cast(ConvNormAct, self.stem[0]).convolution

    @merge_with_config_defaults
    @capture_outputs(tie_last_hidden_states=False)
    def forward(self, pixel_values: torch.Tensor, **kwargs: Unpack[TransformersKwargs]) -> HlgEncoderOutput:
        """(batch, channels, height, width) of any height and width -> `HlgEncoderOutput`."""
        feature_map = pixel_values.to(self.dtype)
        for convolution in self.stem:
            feature_map = convolution(feature_map)
        stem_map, feature_maps = feature_map, []
        for stage, layers in enumerate(self.stages):
            for layer in cast(nn.ModuleList, layers):
                feature_map = layer(feature_map, **kwargs)
            if str(stage) in self.norms:
                feature_map = layer_norm_map(self.norms[str(stage)], feature_map)
            feature_maps.append(feature_map)
        return HlgEncoderOutput(feature_maps=tuple(feature_maps), stem_map=stem_map)


__all__ = ["HlgEncoder", "HlgEncoderOutput", "HlgPreTrainedModel"]
