"""ViT-Adapter (Chen et al., ICLR 2023): a plain ViT that exchanges features with a convolutional branch.

Follows ViTAdapter and BEiTAdapter of https://github.com/czczup/ViT-Adapter (segmentation code), for inputs of any
size; the original needs sides that are multiples of 32.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from segvit_hf._compat import (
    GradientCheckpointingLayer,
    TransformersKwargs,
    Unpack,
    capture_outputs,
    initialization,
    merge_with_config_defaults,
)
from segvit_hf.encoders.beit import relative_positions
from segvit_hf.encoders.configuration_vit_adapter import NUM_FEATURE_MAPS, SIZE_DIVISOR, ViTAdapterEncoderConfig
from segvit_hf.encoders.spatial_prior import SpatialPriorModule
from segvit_hf.encoders.vit import ViTEncoder, ViTEncoderOutput, ViTPreTrainedModel
from segvit_hf.layers.convolution import reset_convolution
from segvit_hf.layers.deformable_attention import (
    MultiScaleDeformableAttention,
    SamplingGeometry,
    sampling_geometry,
)
from segvit_hf.layers.drop_path import DropPath
from segvit_hf.layers.resize import Grid, Size, cut_to_multiple, pad_to_multiple, resize_bilinear

STRIDES = (4, 8, 16, 32)  # of the feature maps


@dataclass
class ViTAdapterEncoderOutput(ViTEncoderOutput):
    """`ViTEncoderOutput` with four feature maps, and one more field.

    Args:
        stem_map: (batch, hidden_size, height / 4, width / 4), the spatial prior's finest map.
    """

    stem_map: torch.Tensor | None = None


@dataclass(frozen=True)
class AdapterGeometry:
    """What depends on the input's size only.

    Attributes:
        grids: (rows, columns) of the spatial prior's maps at strides 8, 16 and 32.
        injection: Patches read the spatial prior's three maps.
        extraction: The cells of the three maps read the patches.
    """

    grids: tuple[Grid, ...]
    injection: SamplingGeometry
    extraction: SamplingGeometry


def adapter_geometry(size: Size, patch_grid: Grid, device: torch.device) -> AdapterGeometry:
    """The geometry for an input whose sides are multiples of 32, and the grid of its patches."""
    height, width = size
    grids = ((height // 8, width // 8), (height // 16, width // 16), (height // 32, width // 32))
    return AdapterGeometry(
        grids=grids,
        injection=sampling_geometry([patch_grid], grids, device),
        extraction=sampling_geometry(grids, [patch_grid], device),
    )


def split_maps(tokens: torch.Tensor, grids: tuple[Grid, ...]) -> list[torch.Tensor]:
    """Tokens (batch, sum of rows * columns, channels) as maps (batch, channels, rows, columns)."""
    parts = tokens.split([rows * columns for rows, columns in grids], dim=1)
    # Contiguous, because batch norm in eval mode gives wrong gradients (seen in torch 2.15, CPU) for a batch of one
    # whose strides are those of a slice of the tokens.
    return [part.transpose(1, 2).unflatten(2, grid).contiguous() for part, grid in zip(parts, grids, strict=True)]


def join_maps(feature_maps: list[torch.Tensor]) -> torch.Tensor:
    """The inverse of `split_maps`."""
    return torch.cat([feature_map.flatten(2).transpose(1, 2) for feature_map in feature_maps], dim=1)


class ConvFFN(nn.Module):
    """Two linear layers with a depth-wise convolution over each of the three maps in between."""

    def __init__(self, *, hidden_size: int, intermediate_size: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(hidden_size, intermediate_size)
        self.depthwise_convolution = nn.Conv2d(
            intermediate_size, intermediate_size, kernel_size=3, padding=1, groups=intermediate_size
        )
        self.fc2 = nn.Linear(intermediate_size, hidden_size)

    def forward(self, tokens: torch.Tensor, grids: tuple[Grid, ...]) -> torch.Tensor:
        """(batch, num_tokens, hidden_size) -> the same shape, without the residual."""
        maps = split_maps(self.fc1(tokens), grids)
        return self.fc2(F.gelu(join_maps([self.depthwise_convolution(feature_map) for feature_map in maps])))


def deformable_attention(config: ViTAdapterEncoderConfig, num_levels: int) -> MultiScaleDeformableAttention:
    """The attention of injectors (three maps) and extractors (one map)."""
    return MultiScaleDeformableAttention(
        hidden_size=config.hidden_size,
        num_heads=config.adapter_num_attention_heads,
        num_levels=num_levels,
        num_points=config.adapter_num_points,
        value_ratio=config.adapter_value_ratio,
    )


class ViTAdapterInjector(GradientCheckpointingLayer):
    """Brings the spatial prior into the ViT's patches."""

    def __init__(self, config: ViTAdapterEncoderConfig) -> None:
        super().__init__()
        self.init_value = float(config.injector_init_value)
        self.query_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.feature_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.attention = deformable_attention(config, num_levels=3)
        self.layer_scale = nn.Parameter(torch.zeros(config.hidden_size))

    def forward(self, patches: torch.Tensor, prior: torch.Tensor, geometry: AdapterGeometry) -> torch.Tensor:
        """Patches (batch, num_patches, hidden_size), prior (batch, num_tokens, hidden_size) -> patches."""
        attended = self.attention(self.query_norm(patches), self.feature_norm(prior), geometry.injection)
        return patches + self.layer_scale * attended


class ViTAdapterExtractor(GradientCheckpointingLayer):
    """Brings the ViT's patches into the spatial prior."""

    def __init__(self, config: ViTAdapterEncoderConfig) -> None:
        super().__init__()
        self.query_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.feature_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.attention = deformable_attention(config, num_levels=1)
        self.mlp_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = ConvFFN(
            hidden_size=config.hidden_size, intermediate_size=int(config.hidden_size * config.adapter_mlp_ratio)
        )
        self.drop_path = DropPath(config.drop_path_rate)

    def forward(self, prior: torch.Tensor, patches: torch.Tensor, geometry: AdapterGeometry) -> torch.Tensor:
        """Prior (batch, num_tokens, hidden_size), patches (batch, num_patches, hidden_size) -> prior."""
        prior = prior + self.attention(self.query_norm(prior), self.feature_norm(patches), geometry.extraction)
        return prior + self.drop_path(self.mlp(self.mlp_norm(prior), geometry.grids))


class InteractionBlock(nn.Module):
    """The injector in front of a group of ViT layers, and the extractors behind it."""

    def __init__(self, config: ViTAdapterEncoderConfig, *, num_extra_extractors: int) -> None:
        super().__init__()
        self.num_prefix_tokens = config.num_prefix_tokens
        self.injector = ViTAdapterInjector(config)
        self.extractor = ViTAdapterExtractor(config)
        self.extra_extractors = nn.ModuleList(ViTAdapterExtractor(config) for _ in range(num_extra_extractors))

    def forward(
        self,
        hidden_states: torch.Tensor,
        prior: torch.Tensor,
        layers: Iterable[nn.Module],
        geometry: AdapterGeometry,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Runs one group of layers between two exchanges.

        Args:
            hidden_states: (batch, num_tokens, hidden_size), prefix tokens first; they take no part in the exchange.
            prior: (batch, number of cells of all maps, hidden_size).
            layers: The group of ViT layers.
            geometry: Of the input's size.
            **kwargs: Passed to the layers.

        Returns:
            Updated hidden states and prior.
        """
        prefix, patches = self._split(hidden_states)
        hidden_states = torch.cat([prefix, self.injector(patches, prior, geometry)], dim=1)
        for layer in layers:
            hidden_states = layer(hidden_states, **kwargs)
        _, patches = self._split(hidden_states)
        prior = self.extractor(prior, patches, geometry)
        for extractor in self.extra_extractors:
            prior = extractor(prior, patches, geometry)
        return hidden_states, prior

    def _split(self, hidden_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return hidden_states[:, : self.num_prefix_tokens], hidden_states[:, self.num_prefix_tokens :]


class AdapterBranch(ViTPreTrainedModel):
    """What the adapter has in front of and behind its interactions; mixed in before an encoder."""

    config: ViTAdapterEncoderConfig
    _no_split_modules = ["ViTAdapterInjector", "ViTAdapterExtractor"]

    def build_branch(self, config: ViTAdapterEncoderConfig, interactions: Sequence[nn.Module]) -> None:
        """Makes the adapter's modules around those that exchange features with the ViT."""
        self.spatial_prior = SpatialPriorModule(
            num_channels=config.num_channels,
            stem_size=config.spatial_prior_hidden_size,
            hidden_size=config.hidden_size,
        )
        self.level_embeddings = nn.Embedding(NUM_FEATURE_MAPS - 1, config.hidden_size)
        self.interactions = nn.ModuleList(interactions)
        self.upsample = nn.ConvTranspose2d(config.hidden_size, config.hidden_size, kernel_size=2, stride=2)
        self.feature_norms = nn.ModuleList(nn.BatchNorm2d(config.hidden_size) for _ in range(NUM_FEATURE_MAPS))

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            reset_convolution(module)
        elif isinstance(module, MultiScaleDeformableAttention):
            module.reset_parameters()
        elif isinstance(module, ViTAdapterInjector):
            initialization.constant_(module.layer_scale, module.init_value)
        elif isinstance(module, nn.Embedding):
            initialization.normal_(module.weight)

    def prior(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The spatial prior of an input whose sides are multiples of 32.

        Returns:
            The map at stride 4, and the cells of the maps at strides 8, 16 and 32 (batch, num_tokens, hidden_size).
        """
        finest, *prior_maps = self.spatial_prior(pixel_values)
        embedded = [
            prior_map + embedding[:, None, None]
            for prior_map, embedding in zip(prior_maps, self.level_embeddings.weight, strict=True)
        ]
        return finest, join_maps(embedded)

    def feature_maps(
        self, finest: torch.Tensor, prior_maps: list[torch.Tensor], vit_maps: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, ...]:
        """Joins what adapter and ViT made.

        Args:
            finest: The spatial prior's map at stride 4.
            prior_maps: What the extractors made of its maps at strides 8, 16 and 32.
            vit_maps: The patches of each interaction, all at the stride of the ViT.

        Returns:
            Four normalized maps (batch, hidden_size, rows, columns).
        """
        maps = [self.upsample(prior_maps[0]) + finest, *prior_maps]
        if self.config.add_vit_features:
            maps = [
                feature_map + self.resize_vit_map(vit_map, (feature_map.shape[-2], feature_map.shape[-1]), stride)
                for feature_map, vit_map, stride in zip(maps, vit_maps, STRIDES, strict=True)
            ]
        return tuple(norm(feature_map) for norm, feature_map in zip(self.feature_norms, maps, strict=True))

    def resize_vit_map(self, vit_map: torch.Tensor, grid: Grid, stride: int) -> torch.Tensor:  # noqa: ARG002
        """Patches (batch, hidden_size, rows, columns) of the whole input -> the grid of the map of a stride."""
        return resize_bilinear(vit_map, grid)


class ViTAdapterEncoder(AdapterBranch, ViTEncoder):
    """A plain ViT or BEiT with ViT-Adapter's branch: four feature maps at strides 4, 8, 16 and 32."""

    config: ViTAdapterEncoderConfig
    _no_split_modules = [*ViTEncoder._no_split_modules, *AdapterBranch._no_split_modules]

    def __init__(self, config: ViTAdapterEncoderConfig) -> None:
        super().__init__(config)
        num_interactions = len(config.encoder_out_indices or [])
        interactions = [
            InteractionBlock(
                config, num_extra_extractors=config.num_extra_extractors if index == num_interactions - 1 else 0
            )
            for index in range(num_interactions)
        ]
        self.build_branch(config, interactions)
        self.post_init()

    @merge_with_config_defaults
    @capture_outputs(tie_last_hidden_states=False)
    def forward(self, pixel_values: torch.Tensor, **kwargs: Unpack[TransformersKwargs]) -> ViTAdapterEncoderOutput:
        """Runs ViT and adapter side by side.

        Args:
            pixel_values: (batch, channels, height, width) of any size; padded with zeros to multiples of 32.
            **kwargs: What to return (`output_hidden_states`, `output_attentions`), and options of the attention.

        Returns:
            `ViTAdapterEncoderOutput`, whose four feature maps (batch, hidden_size, rows, columns) are those of the
            padded input, strides 4, 8, 16 and 32.
        """
        pixel_values = pad_to_multiple(pixel_values.to(self.embeddings.patch_embeddings.weight.dtype), SIZE_DIVISOR)
        hidden_states, grid = self.embeddings(cut_to_multiple(pixel_values, self.config.patch_size))
        size = (pixel_values.shape[-2], pixel_values.shape[-1])
        geometry = adapter_geometry(size, grid, hidden_states.device)
        if self.config.use_relative_position_bias:
            kwargs["relative_positions"] = relative_positions(self.config.patch_grid, grid, hidden_states.device)
        finest, prior = self.prior(pixel_values)
        vit_maps, first = [], 0
        for interaction, last in zip(self.interactions, self.config.encoder_out_indices or [], strict=True):
            group, first = self.layers[first : last + 1], last + 1
            hidden_states, prior = interaction(hidden_states, prior, group, geometry, **kwargs)
            patches = hidden_states[:, self.config.num_prefix_tokens :]
            vit_maps.append(patches.transpose(1, 2).unflatten(2, grid))
        feature_maps = self.feature_maps(finest, split_maps(prior, geometry.grids), vit_maps)
        return ViTAdapterEncoderOutput(last_hidden_state=hidden_states, feature_maps=feature_maps, stem_map=finest)


__all__ = ["AdapterBranch", "ViTAdapterEncoder", "ViTAdapterEncoderOutput"]
