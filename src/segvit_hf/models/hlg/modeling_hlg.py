"""HLG (Zhang et al., IJCV 2024): segmentation, classification, and the encoder as a backbone.

Follows https://github.com/fudan-zvg/SETR (configs/setr_hlg and hlg-classification); see `encoders/hlg.py`.
"""

from collections.abc import Iterable

import torch
from torch import nn

from segvit_hf._compat import ImageClassifierOutput, TransformersKwargs, Unpack, can_return_tuple
from segvit_hf.encoders.configuration_hlg import STRIDES
from segvit_hf.encoders.hlg import HlgEncoder, HlgPreTrainedModel
from segvit_hf.encoders.inputs import check_pixel_values
from segvit_hf.models.backbone import EncoderBackbone
from segvit_hf.models.fcn_head import FcnHead
from segvit_hf.models.hlg.configuration_hlg import HlgConfig
from segvit_hf.models.hlg.decoder_hlg import HlgDecoder
from segvit_hf.models.semantic_segmentation import SemanticSegmentationModel

# Of the other tasks, whose checkpoints give their encoder.
HEADS = [r"^decoder\.", r"^auxiliary_head\.", r"^classifier\.", r"^pyramid\.", r"^detector\."]


def heads_but(*names: str) -> list[str]:
    """Patterns for the weights of all heads but these."""
    return [pattern for pattern in HEADS if not any(pattern.startswith(f"^{name}") for name in names)]


class HlgForSemanticSegmentation(HlgPreTrainedModel, SemanticSegmentationModel):
    """HLG's encoder, the decoder of SETR-PUP-HLG, and a convolutional head for the training loss."""

    config: HlgConfig
    encoder_class = HlgEncoder  # type: ignore[assignment]
    _no_split_modules = ["HlgLayer", "HlgDecoderLayer"]

    def build_decoder(self, config: HlgConfig) -> None:
        """Makes the decoder and the auxiliary head."""
        self.decoder = HlgDecoder(config)
        if config.use_auxiliary_head:
            self.auxiliary_head = FcnHead(
                config,
                map_index=config.auxiliary_map_index,
                in_channels=config.hidden_sizes[config.auxiliary_map_index],
                hidden_size=config.auxiliary_hidden_size,
                num_convolutions=config.auxiliary_num_convolutions,
                dropout=config.decoder_dropout,
                loss_name="aux.loss_seg",
                loss_weight=config.auxiliary_loss_weight,
            )

    def auxiliary_decoders(self) -> Iterable[nn.Module]:
        """The auxiliary head, if there is one."""
        return [self.auxiliary_head] if self.config.use_auxiliary_head else []


class HlgForImageClassification(HlgPreTrainedModel):
    """HLG's encoder and a linear classifier of its mean token."""

    config: HlgConfig
    # The loss is a mean over the batch, so Trainer must divide it by the gradient accumulation steps itself.
    accepts_loss_kwargs = False
    _keys_to_ignore_on_load_unexpected = heads_but("classifier")

    def __init__(self, config: HlgConfig) -> None:
        super().__init__(config)
        self.encoder = HlgEncoder(config)
        self.classifier = nn.Linear(config.hidden_sizes[-1], config.num_labels)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The first convolution."""
        return self.encoder.get_input_embeddings()

    @can_return_tuple
    def forward(
        self, pixel_values: torch.Tensor, labels: torch.Tensor | None = None, **kwargs: Unpack[TransformersKwargs]
    ) -> ImageClassifierOutput:
        """Logits of images, and with labels the training loss.

        Args:
            pixel_values: (batch, channels, height, width) of any size, normalized.
            labels: (batch,) int64 classes; for several classes at once or regression, what
                `config.problem_type` wants (see transformers).
            **kwargs: What to return (`output_hidden_states`, `output_attentions`), and options of the attention.

        Returns:
            `logits` (batch, num_labels), `loss`, and the encoder's hidden states and attention probabilities where
            they were asked for.

        Raises:
            TypeError: `pixel_values` are no floating-point numbers.
            ValueError: A tensor of another shape.
        """
        check_pixel_values(pixel_values, self.config.num_channels)
        encoded = self.encoder(pixel_values, **kwargs)
        logits = self.classifier(encoded.feature_maps[-1].mean((2, 3)))
        loss = None
        if labels is not None:
            loss = self.loss_function(labels=labels, pooled_logits=logits, config=self.config)
        return ImageClassifierOutput(
            loss=loss, logits=logits, hidden_states=encoded.hidden_states, attentions=encoded.attentions
        )


class HlgBackbone(EncoderBackbone, HlgPreTrainedModel):
    """HLG's encoder as a backbone.

    Its feature maps are `"stage1"` to `"stage4"`, strides 4, 8, 16 and 32, and `"stem"`, stride 2. Its parameters have
    the names that they have in the models with heads, whose checkpoints it loads.
    """

    config: HlgConfig
    strides = (2, *STRIDES)
    _keys_to_ignore_on_load_unexpected = HEADS

    def __init__(self, config: HlgConfig) -> None:
        super().__init__(config)
        self.num_features = [config.hidden_sizes[0], *config.hidden_sizes]
        self.encoder = HlgEncoder(config)
        self.post_init()


__all__ = ["HEADS", "HlgBackbone", "HlgForImageClassification", "HlgForSemanticSegmentation", "heads_but"]
