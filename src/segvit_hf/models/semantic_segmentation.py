"""The model of every architecture: an encoder and a decoder, checked inputs, sliding windows, ragged batches."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import torch
from torch import nn
from transformers.utils import ModelOutput

from segvit_hf._compat import TransformersKwargs, Unpack, can_return_tuple
from segvit_hf.encoders.backbone import BackboneEncoder
from segvit_hf.encoders.configuration_backbone import has_backbone
from segvit_hf.encoders.inputs import check_pixel_values
from segvit_hf.encoders.pretrained_backbone import load_backbone_weights, read_backbone_config
from segvit_hf.encoders.vit import ViTEncoder, ViTEncoderOutput, ViTPreTrainedModel
from segvit_hf.models.losses import check_ignore_index, check_labels, integer_labels
from segvit_hf.models.sliding_window import sliding_window_logits, square_window

Model = TypeVar("Model", bound="SemanticSegmentationModel")


@dataclass
class SemanticSegmentationOutput(ModelOutput):
    """What every architecture's model returns.

    Args:
        loss: Scalar, the total training loss; with labels only.
        logits: (batch, num_labels, height, width), the size of `pixel_values`.
        hidden_states: The encoder's embeddings and layer outputs. When the input was run in windows, the batch
            dimension goes over windows, row by row, then images.
        attentions: The encoder's attention probabilities, with the same batch dimension.
        decoder_attentions: The decoder's attention probabilities, where the original shows them.
        losses: The weighted parts that `loss` sums, by the original's names; with labels only.
        image_sizes: (batch, 2) int64 heights and widths of the images in a ragged batch, `None` for an even one.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None
    decoder_attentions: tuple[torch.Tensor, ...] | None = None
    losses: dict[str, torch.Tensor] | None = None
    image_sizes: torch.Tensor | None = None


def concatenate_layers(
    groups: list[tuple[torch.Tensor, ...] | None],
) -> tuple[torch.Tensor, ...] | None:
    """Joins, layer by layer and along the batch, what several groups of windows returned."""
    present = [group for group in groups if group is not None]
    return tuple(torch.cat(layers) for layers in zip(*present, strict=True)) if present else None


class SemanticSegmentationModel(ViTPreTrainedModel):
    """An encoder and a decoder. An architecture names its classes of them, and adds what is its own.

    Feature maps may pass a neck on their way, and auxiliary decoders read them for the training loss alone. Both are
    members of the model and not of the decoder, as in mmsegmentation, so that saved weights have the names that they
    have there.
    """

    # The loss is a mean over the batch, so Trainer must divide it by the gradient accumulation steps itself.
    accepts_loss_kwargs = False

    encoder_class: ClassVar[type[ViTEncoder]] = ViTEncoder
    backbone_encoder_class: ClassVar[type[BackboneEncoder]] = BackboneEncoder  # with a `backbone_config`
    # By `config.decoder_type`; every class is built from the configuration alone.
    decoder_classes: ClassVar[dict[str, type[nn.Module]]]

    if TYPE_CHECKING:
        config: Any  # an encoder's configuration and a `SemanticSegmentationConfig`

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        check_ignore_index(config.semantic_loss_ignore_index, config.num_labels)
        self.encoder = (self.backbone_encoder_class if has_backbone(config) else self.encoder_class)(config)
        self.build_decoder(config)
        self.post_init()

    @classmethod
    def from_backbone(
        cls: type[Model], backbone: str | Path, *, dtype: torch.dtype = torch.float32, **fields: Any
    ) -> Model:
        """A model whose encoder is a pretrained transformers backbone; its decoder starts at random.

        Its image processor is that of the architecture's image processor class with `from_backbone` of the same name.

        Args:
            backbone: A folder or a Hub id that `AutoConfig` and the backbone's class read (a model with a head serves
                as well), or `"timm/<name>"` for one of timm's ViTs with its pretrained weights.
            dtype: Of all weights.
            **fields: Of the architecture's configuration: `id2label` or `num_labels`, those of the decoder,
                `encoder_out_indices`, `freeze_backbone`, ...

        Raises:
            ValueError: The backbone's maps have several strides, weights are missing, or the fields do not fit it.
            OSError: There is no such folder or Hub id.
        """
        config_class: Any = cls.config_class
        config = config_class(backbone_config=read_backbone_config(backbone), **fields)
        return cls.from_backbone_weights(backbone, config, dtype=dtype)

    @classmethod
    def from_backbone_weights(
        cls: type[Model], backbone: str | Path, config: Any, *, dtype: torch.dtype = torch.float32
    ) -> Model:
        """As `from_backbone`, with a configuration that has the `backbone_config`."""
        weights = load_backbone_weights(backbone, config.filled_backbone_config, dtype)
        named = {f"encoder.backbone.{name}": weight for name, weight in weights.items()}
        model = cls.from_pretrained(None, config=config, state_dict=named, dtype=dtype)
        # transformers saves a model by the names that it was loaded by: here those of this release's modules. Without
        # that memory it saves a backbone by the names that the Hub has, which every release reads.
        vars(model).pop("_weight_conversions", None)
        return model

    def build_decoder(self, config: Any) -> None:
        """Makes the decoder, and in some architectures what stands before and beside it."""
        self.decoder = self.decoder_classes[config.decoder_type](config)

    def neck(self, feature_maps: tuple[torch.Tensor, ...]) -> Sequence[torch.Tensor]:
        """What the decoders read instead of the encoder's feature maps; the same by default."""
        return feature_maps

    def auxiliary_decoders(self) -> Iterable[nn.Module]:
        """Decoders of which only the losses are used; none by default."""
        return ()

    def encoder_losses(self, _encoded: ViTEncoderOutput, _labels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Named losses of what the encoder itself predicts; none by default."""
        return {}

    def get_input_embeddings(self) -> nn.Module:
        """The convolution that makes tokens of patches."""
        return self.encoder.get_input_embeddings()

    def encode_decode(
        self,
        pixel_values: torch.Tensor,
        labels: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> SemanticSegmentationOutput:
        """One pass over images as they are: no windows, no ragged batch.

        Args:
            pixel_values: (batch, channels, height, width), normalized.
            labels: (batch, height, width), int64.
            **kwargs: What to return (`output_hidden_states`, `output_attentions`), and options of the attention.
        """
        encoded = self.encoder(pixel_values, **kwargs)
        feature_maps, size = self.neck(encoded.feature_maps), pixel_values.shape[-2:]
        decoded = self.decoder(feature_maps, size, labels, **kwargs)
        losses = decoded.losses
        if labels is not None:
            losses = {**losses, **self.encoder_losses(encoded, labels)}
            for decoder in self.auxiliary_decoders():
                losses = {**losses, **decoder(feature_maps, size, labels).losses}
        return SemanticSegmentationOutput(
            loss=None if losses is None else torch.stack(list(losses.values())).sum(),
            logits=decoded.logits,
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
            decoder_attentions=decoded.attentions,
            losses=losses,
        )

    @can_return_tuple
    def forward(
        self,
        pixel_values: torch.Tensor,
        labels: torch.Tensor | None = None,
        pixel_mask: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> SemanticSegmentationOutput:
        """Logits of images, and with labels the training loss.

        Args:
            pixel_values: (batch, channels, height, width), normalized. In eval mode, inputs larger than the crop go
                through `config.sliding_window` when it is set.
            labels: (batch, height, width), int64 or another integer dtype, `config.semantic_loss_ignore_index` where
                there is no class. The loss is that of the batch as a whole, without windows.
            pixel_mask: (batch, height, width), 1 where the image is, 0 where a ragged batch is padded at the bottom
                and at the right. In eval mode each image is run at its own size and its logits stand in the top left
                corner, zeros elsewhere; hidden states and attentions are then not returned. Ignored in training.
            **kwargs: What to return (`output_hidden_states`, `output_attentions`, `return_dict`), and options of the
                attention.

        Raises:
            TypeError: `pixel_values` are no floating-point numbers, or labels no integers.
            ValueError: A tensor of the wrong shape, or labels that are no classes.
        """
        check_pixel_values(pixel_values, self.config.num_channels)
        if labels is not None:
            labels = self._checked_labels(pixel_values, labels)
        sliding_window = self._windows_for(pixel_values)
        if self.training or (pixel_mask is None and sliding_window is None):
            return self.encode_decode(pixel_values, labels, **kwargs)
        output = SemanticSegmentationOutput()
        if labels is not None:
            whole = self.encode_decode(pixel_values, labels, **kwargs)
            output.loss, output.losses = whole.loss, whole.losses
        if pixel_mask is not None:
            output.logits, output.image_sizes = self._forward_ragged(pixel_values, pixel_mask)
        elif sliding_window is not None:
            windows = self.slide_inference(pixel_values, sliding_window, **kwargs)
            output.logits = windows.logits
            output.hidden_states, output.attentions = windows.hidden_states, windows.attentions
            output.decoder_attentions = windows.decoder_attentions
        return output

    def _checked_labels(self, pixel_values: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        labels = integer_labels(labels)
        if labels.shape != (len(pixel_values), *pixel_values.shape[-2:]):
            raise ValueError(
                f"labels: expected (batch, height, width) = {(len(pixel_values), *pixel_values.shape[-2:])} like "
                f"pixel_values, found {tuple(labels.shape)}."
            )
        check_labels(labels, self.config.num_labels, self.config.semantic_loss_ignore_index)
        return labels

    def _windows_for(self, pixel_values: torch.Tensor) -> dict[str, Any] | None:
        """The windows that an input is run in, `None` if it is run whole."""
        sliding_window = self.config.sliding_window
        if sliding_window is None:
            return None
        height, width = pixel_values.shape[-2:]
        crop_height, crop_width = sliding_window["crop_size"]
        if height > crop_height or width > crop_width:
            return sliding_window
        if self.config.square_small_inputs and height != width and height < crop_height and width < crop_width:
            return square_window(min(height, width), sliding_window)
        return None

    def slide_inference(
        self, pixel_values: torch.Tensor, sliding_window: dict[str, Any], **kwargs: Unpack[TransformersKwargs]
    ) -> SemanticSegmentationOutput:
        """The mean logits of overlapping windows, see `sliding_window_logits`."""
        groups: list[SemanticSegmentationOutput] = []

        def predict(windows: torch.Tensor) -> torch.Tensor:
            group = self.encode_decode(windows, **kwargs)
            logits, group.logits = group.logits, None
            groups.append(group)
            assert logits is not None
            return logits

        logits = sliding_window_logits(predict, pixel_values, **sliding_window)
        return SemanticSegmentationOutput(
            logits=logits,
            hidden_states=concatenate_layers([group.hidden_states for group in groups]),
            attentions=concatenate_layers([group.attentions for group in groups]),
            decoder_attentions=concatenate_layers([group.decoder_attentions for group in groups]),
        )

    def _forward_ragged(
        self, pixel_values: torch.Tensor, pixel_mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if pixel_mask.shape != (len(pixel_values), *pixel_values.shape[-2:]):
            raise ValueError(
                f"pixel_mask: expected (batch, height, width) = {(len(pixel_values), *pixel_values.shape[-2:])} like "
                f"pixel_values, found {tuple(pixel_mask.shape)}."
            )
        image_sizes = torch.stack([pixel_mask.any(2).sum(1), pixel_mask.any(1).sum(1)], dim=1)
        logits = None
        for index, (height, width) in enumerate(image_sizes.tolist()):
            image_logits = self(pixel_values[index : index + 1, :, :height, :width]).logits
            if logits is None:
                logits = image_logits.new_zeros(len(pixel_values), image_logits.shape[1], *pixel_values.shape[-2:])
            logits[index, :, :height, :width] = image_logits[0]
        assert logits is not None  # the batch is not empty
        return logits, image_sizes


__all__ = ["SemanticSegmentationModel", "SemanticSegmentationOutput"]
