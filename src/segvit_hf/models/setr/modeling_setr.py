"""SETR: semantic segmentation as a sequence-to-sequence task (Zheng et al., CVPR 2021).

A plain ViT's patches are reshaped to feature maps and decoded by convolutions: naive upsampling, progressive
upsampling (PUP) or multi-level feature aggregation (MLA). Follows VisionTransformerUpHead, VIT_MLA, VIT_MLAHead and
VIT_MLA_AUXIHead of https://github.com/fudan-zvg/SETR, for inputs of any size and shape, and the variants of them in
mmsegmentation (SETRUPHead, MLANeck, SETRMLAHead, FCNHead), which differ by fields of the configuration.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from segvit_hf.layers.convolution import ConvNormAct, reset_convolution_as_torch
from segvit_hf.layers.layer_norm import layer_norm_map
from segvit_hf.layers.resize import resize_bilinear
from segvit_hf.models.configuration import filled
from segvit_hf.models.decoder import DecodeHead
from segvit_hf.models.semantic_segmentation import SemanticSegmentationModel
from segvit_hf.models.setr.configuration_setr import SetrConfig

DECODER_LOSS = "decode.loss_seg"
AUXILIARY_LOSS = "aux_{index}.loss_seg"


def upsample(feature_map: torch.Tensor, factor: int, align_corners: bool = False) -> torch.Tensor:
    """(batch, channels, rows, columns), bilinearly enlarged by a whole factor."""
    if factor == 1:
        return feature_map
    size = [factor * side for side in feature_map.shape[-2:]]
    return resize_bilinear(feature_map, size, align_corners=align_corners)


class SetrUpsamplingHead(DecodeHead):
    """Naive and progressive upsampling: layer norm, convolutions with an upsampling behind each, a 1x1 classifier.

    Args:
        config: Gives the widths and the dropout before the classifier.
        in_index: Which feature map is read.
        loss_name: The original's name of the loss.
        loss_weight: Factor of the loss.
        num_convolutions: Number of convolutions.
        kernel_size: Their kernel.
        upsampling: Factor by which rows and columns grow after each of them.
        classifier_bias: Whether the classifier has a bias.
    """

    def __init__(
        self,
        config: SetrConfig,
        *,
        in_index: int,
        loss_name: str,
        loss_weight: float = 1.0,
        num_convolutions: int,
        kernel_size: int,
        upsampling: int,
        classifier_bias: bool = True,
    ) -> None:
        super().__init__(config, loss_name=loss_name, loss_weight=loss_weight, size_divisor=config.crop_divisor)
        self.in_index = in_index
        self.upsampling = upsampling
        width = config.decoder_hidden_size
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.convolutions = nn.ModuleList(
            ConvNormAct(
                width if index else config.hidden_size,
                width,
                kernel_size=kernel_size,
                bias=config.decoder_convolution_bias,
            )
            for index in range(num_convolutions)
        )
        self.dropout = nn.Dropout2d(config.classifier_dropout)
        self.classifier = nn.Conv2d(width, config.num_labels, kernel_size=1, bias=classifier_bias)

    def classify(self, feature_maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Maps (batch, hidden_size, rows, columns) -> logits (batch, num_labels, more rows, more columns)."""
        feature_map = layer_norm_map(self.norm, feature_maps[self.in_index])
        for index, convolution in enumerate(self.convolutions):
            feature_map = convolution(feature_map if index == 0 else upsample(feature_map, self.upsampling))
        # A 1x1 convolution commutes with the last upsampling, and has fewer channels behind it than before it.
        return upsample(self.classifier(self.dropout(feature_map)), self.upsampling)


class SetrUpsamplingDecoder(SetrUpsamplingHead):
    """The naive or progressive decoder of the deepest feature map."""

    def __init__(self, config: SetrConfig) -> None:
        super().__init__(
            config,
            in_index=-1,
            loss_name=DECODER_LOSS,
            num_convolutions=filled(config.decoder_num_convolutions),
            kernel_size=filled(config.decoder_kernel_size),
            upsampling=filled(config.decoder_upsampling),
        )


class SetrUpsamplingAuxiliaryHead(SetrUpsamplingHead):
    """The auxiliary head number `index` of a naive or progressive decoder."""

    def __init__(self, config: SetrConfig, index: int) -> None:
        super().__init__(
            config,
            in_index=filled(config.auxiliary_in_indices)[index],
            loss_name=AUXILIARY_LOSS.format(index=index),
            loss_weight=config.auxiliary_loss_weight,
            num_convolutions=config.auxiliary_num_convolutions,
            kernel_size=filled(config.auxiliary_kernel_size),
            upsampling=filled(config.auxiliary_upsampling),
            classifier_bias=filled(config.auxiliary_classifier_bias),
        )


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
            ConvNormAct(config.hidden_size, width, kernel_size=1, bias=False) for _ in range(num_levels)
        )
        # In the order of the outputs, unlike the two above, which are in that of the inputs.
        self.convolutions = nn.ModuleList(
            ConvNormAct(width, width, kernel_size=3, bias=False) for _ in range(num_levels)
        )

    def forward(self, feature_maps: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Adds deeper levels to shallower ones.

        Args:
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


class SetrMlaDecoder(DecodeHead):
    """Convolutions and one upsampling per aggregated map, then a classifier over all of them."""

    def __init__(self, config: SetrConfig) -> None:
        super().__init__(config, loss_name=DECODER_LOSS, size_divisor=config.crop_divisor)
        self.upsampling, self.align_corners = filled(config.decoder_upsampling), config.mla_align_corners
        num_levels, width = len(filled(config.encoder_out_indices)), config.mla_head_hidden_size
        self.levels = nn.ModuleList(
            nn.Sequential(
                *(
                    ConvNormAct(
                        width if index else config.decoder_hidden_size,
                        width,
                        kernel_size=filled(config.decoder_kernel_size),
                        bias=False,
                    )
                    for index in range(filled(config.decoder_num_convolutions))
                )
            )
            for _ in range(num_levels)
        )
        self.dropout = nn.Dropout2d(config.classifier_dropout)
        kernel_size = config.mla_classifier_kernel_size
        self.classifier = nn.Conv2d(num_levels * width, config.num_labels, kernel_size, padding=kernel_size // 2)

    def classify(self, feature_maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Aggregated maps (batch, decoder_hidden_size, rows, columns) -> logits of `decoder_upsampling` times that."""
        levels = [
            upsample(level(feature_map), self.upsampling, self.align_corners)
            for level, feature_map in zip(self.levels, feature_maps, strict=True)
        ]
        return self.classifier(self.dropout(torch.cat(levels, dim=1)))


class SetrMlaAuxiliaryHead(DecodeHead):
    """The auxiliary head number `index` of MLA: a classifier of one aggregated map."""

    def __init__(self, config: SetrConfig, index: int) -> None:
        super().__init__(
            config,
            loss_name=AUXILIARY_LOSS.format(index=index),
            loss_weight=config.auxiliary_loss_weight,
            size_divisor=config.crop_divisor,
        )
        self.in_index = filled(config.auxiliary_in_indices)[index]
        self.dropout = nn.Dropout2d(config.classifier_dropout)
        bias = filled(config.auxiliary_classifier_bias)
        self.classifier = nn.Conv2d(config.decoder_hidden_size, config.num_labels, kernel_size=1, bias=bias)

    def classify(self, feature_maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Aggregated maps (batch, decoder_hidden_size, rows, columns) -> logits of the same rows and columns."""
        return self.classifier(self.dropout(feature_maps[self.in_index]))


class SetrForSemanticSegmentation(SemanticSegmentationModel):
    """SETR: a plain ViT, one of three convolutional decoders, and auxiliary heads for the training loss."""

    config: SetrConfig
    decoder_classes = {"naive": SetrUpsamplingDecoder, "pup": SetrUpsamplingDecoder, "mla": SetrMlaDecoder}
    _no_split_modules = [
        "SetrUpsamplingDecoder",
        "SetrUpsamplingAuxiliaryHead",
        "SetrMlaAggregation",
        "SetrMlaDecoder",
    ]

    def build_decoder(self, config: SetrConfig) -> None:
        """Makes the decoder, the auxiliary heads, and for MLA the aggregation that all of them read."""
        is_mla = config.decoder_type == "mla"
        if is_mla:
            self.aggregation = SetrMlaAggregation(config)
        super().build_decoder(config)
        auxiliary_class = SetrMlaAuxiliaryHead if is_mla else SetrUpsamplingAuxiliaryHead
        num_auxiliary_heads = len(filled(config.auxiliary_in_indices))
        self.auxiliary_heads = nn.ModuleList(auxiliary_class(config, i) for i in range(num_auxiliary_heads))

    def neck(self, feature_maps: tuple[torch.Tensor, ...]) -> Sequence[torch.Tensor]:
        """MLA's decoders read aggregated maps."""
        return self.aggregation(feature_maps) if self.config.decoder_type == "mla" else feature_maps

    def auxiliary_decoders(self) -> Iterable[nn.Module]:
        """One for every entry of `config.auxiliary_in_indices`."""
        return self.auxiliary_heads

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Conv2d):
            reset_convolution_as_torch(module)


__all__ = ["SetrForSemanticSegmentation"]
