"""SETR: semantic segmentation as a sequence-to-sequence task (Zheng et al., CVPR 2021).

A plain ViT's patches are reshaped to feature maps and decoded by convolutions: naive upsampling, progressive
upsampling (PUP) or multi-level feature aggregation (MLA). Follows VisionTransformerUpHead, VIT_MLA, VIT_MLAHead and
VIT_MLA_AUXIHead of https://github.com/fudan-zvg/SETR, for inputs of any size and shape, and the variants of them in
mmsegmentation (SETRUPHead, MLANeck, SETRMLAHead, FCNHead), which differ by fields of the configuration.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from segvit_hf._compat import TransformersKwargs, Unpack, initialization
from segvit_hf.encoders.vit import ViTEncoder
from segvit_hf.layers.convolution import NormalizedConvolution
from segvit_hf.models.semantic_segmentation import SemanticSegmentationModel, SemanticSegmentationOutput
from segvit_hf.models.setr.configuration_setr import SetrConfig
from segvit_hf.models.setr.loss_setr import SetrLoss


def upsample(feature_map: torch.Tensor, factor: int, align_corners: bool = False) -> torch.Tensor:
    """(batch, channels, rows, columns), bilinearly enlarged by a whole factor."""
    if factor == 1:
        return feature_map
    size = [factor * side for side in feature_map.shape[-2:]]
    return F.interpolate(feature_map, size=size, mode="bilinear", align_corners=align_corners)


def layer_norm_map(norm: nn.Module, feature_map: torch.Tensor) -> torch.Tensor:
    """A layer norm over the channels of (batch, channels, rows, columns)."""
    return norm(feature_map.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).contiguous()


class SetrUpsamplingHead(nn.Module):
    """Naive and progressive upsampling, as decoder and as auxiliary head: layer norm, convolutions that are each followed
    by an upsampling, and a 1x1 classifier.

    Args:
        config: Gives the widths and the dropout before the classifier.
        num_convolutions, kernel_size: Number of convolutions and their kernel.
        upsampling: Factor by which rows and columns grow after each of them.
        classifier_bias: Whether the classifier has a bias.
    """

    def __init__(
        self,
        config: SetrConfig,
        *,
        num_convolutions: int | None,
        kernel_size: int | None,
        upsampling: int | None,
        classifier_bias: bool | None = True,
    ) -> None:
        super().__init__()
        # The configuration fills what was left open.
        assert num_convolutions is not None
        assert kernel_size is not None
        assert upsampling is not None
        assert classifier_bias is not None
        assert config.num_labels is not None
        self.upsampling = upsampling
        width = config.decoder_hidden_size
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.convolutions = nn.ModuleList(
            NormalizedConvolution(
                width if index else config.hidden_size,
                width,
                kernel_size=kernel_size,
                bias=config.decoder_convolution_bias,
            )
            for index in range(num_convolutions)
        )
        self.dropout = nn.Dropout2d(config.classifier_dropout)
        self.classifier = nn.Conv2d(width, config.num_labels, kernel_size=1, bias=classifier_bias)

    def forward(self, feature_map: torch.Tensor) -> torch.Tensor:
        """(batch, hidden_size, rows, columns) -> logits (batch, num_labels, more rows, more columns)."""
        feature_map = layer_norm_map(self.norm, feature_map)
        for index, convolution in enumerate(self.convolutions):
            feature_map = convolution(feature_map if index == 0 else upsample(feature_map, self.upsampling))
        # A 1x1 convolution commutes with the last upsampling, and has fewer channels behind it than before it.
        return upsample(self.classifier(self.dropout(feature_map)), self.upsampling)


class SetrMlaAggregation(nn.Module):
    """Multi-level feature aggregation: every level's map is projected and added to those of the deeper levels."""

    def __init__(self, config: SetrConfig) -> None:
        super().__init__()
        self.deepest_first = config.mla_deepest_first
        num_levels, width = len(config.encoder_out_indices or []), config.decoder_hidden_size
        self.norms = nn.ModuleList(
            nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps) for _ in range(num_levels)
        )
        self.projections = nn.ModuleList(
            NormalizedConvolution(config.hidden_size, width, kernel_size=1, bias=False) for _ in range(num_levels)
        )
        # In the order of the outputs, unlike the two above, which are in that of the inputs.
        self.convolutions = nn.ModuleList(
            NormalizedConvolution(width, width, kernel_size=3, bias=False) for _ in range(num_levels)
        )

    def forward(self, feature_maps: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Args:
            feature_maps: (batch, hidden_size, rows, columns) each, shallow first.

        Returns:
            (batch, decoder_hidden_size, rows, columns) each, shallow first unless `config.mla_deepest_first`.
        """
        sums: list[torch.Tensor] = []
        levels = list(zip(feature_maps, self.norms, self.projections, strict=True))
        for feature_map, norm, projection in reversed(levels):
            projected = projection(layer_norm_map(norm, feature_map))
            sums.append(sums[-1] + projected if sums else projected)
        if not self.deepest_first:
            sums.reverse()
        return [convolution(aggregated) for convolution, aggregated in zip(self.convolutions, sums, strict=True)]


class SetrMlaDecoder(nn.Module):
    """Convolutions and one upsampling per aggregated map, then a classifier over all of them."""

    def __init__(self, config: SetrConfig) -> None:
        super().__init__()
        # The configuration fills what was left open.
        assert config.decoder_num_convolutions is not None
        assert config.decoder_kernel_size is not None
        assert config.decoder_upsampling is not None
        assert config.num_labels is not None
        self.upsampling, self.align_corners = config.decoder_upsampling, config.mla_align_corners
        num_levels, width = len(config.encoder_out_indices or []), config.mla_head_hidden_size
        self.levels = nn.ModuleList(
            nn.Sequential(
                *(
                    NormalizedConvolution(
                        width if index else config.decoder_hidden_size,
                        width,
                        kernel_size=config.decoder_kernel_size,
                        bias=False,
                    )
                    for index in range(config.decoder_num_convolutions)
                )
            )
            for _ in range(num_levels)
        )
        self.dropout = nn.Dropout2d(config.classifier_dropout)
        kernel_size = config.mla_classifier_kernel_size
        self.classifier = nn.Conv2d(num_levels * width, config.num_labels, kernel_size, padding=kernel_size // 2)

    def forward(self, aggregated: Sequence[torch.Tensor]) -> torch.Tensor:
        """Aggregated maps (batch, decoder_hidden_size, rows, columns) -> logits of `decoder_upsampling` times that."""
        levels = [
            upsample(level(feature_map), self.upsampling, self.align_corners)
            for level, feature_map in zip(self.levels, aggregated, strict=True)
        ]
        return self.classifier(self.dropout(torch.cat(levels, dim=1)))


class SetrMlaAuxiliaryHead(nn.Module):
    """A classifier of one aggregated map."""

    def __init__(self, config: SetrConfig) -> None:
        super().__init__()
        assert config.num_labels is not None
        assert config.auxiliary_classifier_bias is not None
        self.dropout = nn.Dropout2d(config.classifier_dropout)
        self.classifier = nn.Conv2d(
            config.decoder_hidden_size, config.num_labels, kernel_size=1, bias=config.auxiliary_classifier_bias
        )

    def forward(self, aggregated: torch.Tensor) -> torch.Tensor:
        """(batch, decoder_hidden_size, rows, columns) -> logits of the same rows and columns."""
        return self.classifier(self.dropout(aggregated))


class SetrForSemanticSegmentation(SemanticSegmentationModel):
    """SETR: a plain ViT, one of three convolutional decoders, and auxiliary heads for the training loss."""

    config: SetrConfig
    _no_split_modules = ["ViTEmbeddings", "ViTLayer", "SetrUpsamplingHead", "SetrMlaAggregation", "SetrMlaDecoder"]

    def __init__(self, config: SetrConfig) -> None:
        super().__init__(config)
        self.encoder = ViTEncoder(config)
        self.decoder: nn.Module
        if config.decoder_type == "mla":
            self.aggregation = SetrMlaAggregation(config)
            self.decoder = SetrMlaDecoder(config)
        else:
            self.decoder = SetrUpsamplingHead(
                config,
                num_convolutions=config.decoder_num_convolutions,
                kernel_size=config.decoder_kernel_size,
                upsampling=config.decoder_upsampling,
            )
        self.auxiliary_heads = nn.ModuleList(
            self._build_auxiliary_head(config) for _ in config.auxiliary_in_indices or []
        )
        self.loss = SetrLoss(config)
        self.post_init()

    @staticmethod
    def _build_auxiliary_head(config: SetrConfig) -> nn.Module:
        if config.decoder_type == "mla":
            return SetrMlaAuxiliaryHead(config)
        return SetrUpsamplingHead(
            config,
            num_convolutions=config.auxiliary_num_convolutions,
            kernel_size=config.auxiliary_kernel_size,
            upsampling=config.auxiliary_upsampling,
            classifier_bias=config.auxiliary_classifier_bias,
        )

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Conv2d):
            # torch's own default, which the original's heads keep.
            initialization.kaiming_uniform_(module.weight, a=math.sqrt(5))
            if module.bias is not None:
                bound = 1 / math.sqrt(module.weight[0].numel())
                initialization.uniform_(module.bias, -bound, bound)

    def forward_whole(
        self, pixel_values: torch.Tensor, labels: torch.Tensor | None = None, **kwargs: Unpack[TransformersKwargs]
    ) -> SemanticSegmentationOutput:
        encoded = self.encoder(pixel_values, **kwargs)
        feature_maps, size = encoded.feature_maps, pixel_values.shape[-2:]
        if self.config.decoder_type == "mla":
            feature_maps = self.aggregation(feature_maps)
            logits = self.resize(self.decoder(feature_maps), size)
        else:
            logits = self.resize(self.decoder(feature_maps[-1]), size)
        losses = None
        if labels is not None:
            auxiliary_logits = [
                self.resize(head(feature_maps[index]), size)
                for head, index in zip(self.auxiliary_heads, self.config.auxiliary_in_indices or [], strict=True)
            ]
            losses = self.loss(logits, auxiliary_logits, labels)
        return SemanticSegmentationOutput(
            loss=None if losses is None else torch.stack(list(losses.values())).sum(),
            logits=logits,
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
            losses=losses,
        )

    @staticmethod
    def resize(logits: torch.Tensor, size: torch.Size) -> torch.Tensor:
        """(batch, num_labels, rows, columns) -> (batch, num_labels, *size)."""
        return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)


__all__ = ["SetrForSemanticSegmentation"]
