"""ViT-Adapter around any transformers backbone, in the form that DINOv3 published (Simeoni et al., 2025).

The backbone is read at chosen layers and stays untouched: only the spatial prior attends, and only to the patches of
those layers. Follows DINOv3_Adapter of https://github.com/facebookresearch/dinov3, for inputs of any size and any
patch size; the original needs sides that are multiples of 32.
"""

import dataclasses

import torch
import torch.nn.functional as F
from torch import nn

from segvit_hf._compat import TransformersKwargs, Unpack
from segvit_hf.encoders.backbone import BackboneEncoder
from segvit_hf.encoders.configuration_vit_adapter import SIZE_DIVISOR, ViTAdapterEncoderConfig
from segvit_hf.encoders.vit_adapter import (
    AdapterBranch,
    AdapterGeometry,
    ViTAdapterEncoderOutput,
    ViTAdapterExtractor,
    adapter_geometry,
    split_maps,
)
from segvit_hf.layers.resize import Grid, Size, pad_to_multiple, resize_bilinear


class ExtractionBlock(nn.Module):
    """The extractors that read one layer of the backbone."""

    def __init__(self, config: ViTAdapterEncoderConfig, *, num_extra_extractors: int) -> None:
        super().__init__()
        self.extractor = ViTAdapterExtractor(config)
        self.extra_extractors = nn.ModuleList(ViTAdapterExtractor(config) for _ in range(num_extra_extractors))

    def forward(self, prior: torch.Tensor, patches: torch.Tensor, geometry: AdapterGeometry) -> torch.Tensor:
        """Prior (batch, num_tokens, hidden_size), patches (batch, num_patches, hidden_size) -> prior."""
        prior = self.extractor(prior, patches, geometry)
        for extractor in self.extra_extractors:
            prior = extractor(prior, patches, geometry)
        return prior


class BackboneAdapterEncoder(AdapterBranch, BackboneEncoder):
    """A transformers backbone with ViT-Adapter's branch: four feature maps at strides 4, 8, 16 and 32."""

    config: ViTAdapterEncoderConfig

    def __init__(self, config: ViTAdapterEncoderConfig) -> None:
        super().__init__(config)
        last = len(config.encoder_out_indices or []) - 1
        interactions = [
            ExtractionBlock(config, num_extra_extractors=config.num_extra_extractors if index == last else 0)
            for index in range(last + 1)
        ]
        self.build_branch(config, interactions)
        self.post_init()

    def forward(self, pixel_values: torch.Tensor, **kwargs: Unpack[TransformersKwargs]) -> ViTAdapterEncoderOutput:
        """Runs the backbone, then the adapter on what it gave.

        Args:
            pixel_values: (batch, channels, height, width) of any size; padded with zeros to multiples of 32.
            **kwargs: What to return (`output_hidden_states`, `output_attentions`), and options of the attention.

        Returns:
            `ViTAdapterEncoderOutput`, whose four feature maps (batch, hidden_size, rows, columns) are those of the
            padded input, strides 4, 8, 16 and 32.
        """
        pixel_values = pad_to_multiple(pixel_values.to(self.level_embeddings.weight.dtype), SIZE_DIVISOR)
        encoded = self.run_backbone(pixel_values, **kwargs)
        vit_maps = encoded.feature_maps
        assert vit_maps is not None
        geometry = self.geometry(pixel_values, (vit_maps[0].shape[-2], vit_maps[0].shape[-1]))
        finest, prior = self.prior(pixel_values)
        for interaction, vit_map in zip(self.interactions, vit_maps, strict=True):
            prior = interaction(prior, vit_map.flatten(2).transpose(1, 2), geometry)
        return ViTAdapterEncoderOutput(
            feature_maps=self.feature_maps(finest, split_maps(prior, geometry.grids), vit_maps),
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
            stem_map=finest,
        )

    def geometry(self, pixel_values: torch.Tensor, patch_grid: Grid) -> AdapterGeometry:
        """The adapter's geometry, where the patches may reach beyond the input to a multiple of their own size."""
        size = (pixel_values.shape[-2], pixel_values.shape[-1])
        geometry = adapter_geometry(size, patch_grid, pixel_values.device)
        covered = self._covered(patch_grid)
        if covered == size:
            return geometry
        shares = torch.tensor([size[1] / covered[1], size[0] / covered[0]], device=pixel_values.device)
        points = geometry.extraction.reference_points * shares
        return dataclasses.replace(
            geometry, extraction=dataclasses.replace(geometry.extraction, reference_points=points)
        )

    def resize_vit_map(self, vit_map: torch.Tensor, grid: Grid, stride: int) -> torch.Tensor:
        """Brings patches, which may reach beyond the input, to the grid of the map of a stride."""
        rows, columns = grid
        covered = self._covered((vit_map.shape[-2], vit_map.shape[-1]))
        if covered == (rows * stride, columns * stride):
            return resize_bilinear(vit_map, grid)
        factor = self.config.patch_size / stride
        resized = F.interpolate(vit_map, scale_factor=factor, mode="bilinear", recompute_scale_factor=False)
        return resized[:, :, :rows, :columns]

    def _covered(self, patch_grid: Grid) -> Size:
        return patch_grid[0] * self.config.patch_size, patch_grid[1] * self.config.patch_size


__all__ = ["BackboneAdapterEncoder"]
