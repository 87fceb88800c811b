"""An encoder with several strides as a transformers backbone, whose checkpoints are those of the models with heads."""

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from segvit_hf._compat import BackboneMixin, BackboneOutput, TransformersKwargs, Unpack, can_return_tuple
from segvit_hf.encoders.inputs import check_pixel_values


class EncoderBackbone(BackboneMixin):
    """Chooses among the maps of `self.encoder`; mixed in before the architecture's base class.

    Its maps are `"stem"`, the encoder's `stem_map`, and `"stage1"`, `"stage2"`, ..., its `feature_maps`. The encoder
    has the name that it has in the models with heads.
    """

    # In pixels, of the stem and the stages.
    strides: ClassVar[tuple[int, ...]]

    if TYPE_CHECKING:
        config: Any
        encoder: Any

    def get_input_embeddings(self) -> nn.Module:
        """The encoder's first convolution."""
        return self.encoder.get_input_embeddings()

    @can_return_tuple
    def forward(self, pixel_values: torch.Tensor, **kwargs: Unpack[TransformersKwargs]) -> BackboneOutput:
        """The encoder's maps, cut to the input's size where the encoder pads it.

        Args:
            pixel_values: (batch, channels, height, width) of any size.
            **kwargs: What to return (`output_hidden_states`, `output_attentions`), and options of the attention.

        Returns:
            The chosen feature maps (batch, channels, ceil(height / stride), ceil(width / stride)), and the
            encoder's hidden states and attention probabilities where they were asked for.

        Raises:
            TypeError: `pixel_values` are no floating-point numbers.
            ValueError: A tensor of another shape.
        """
        check_pixel_values(pixel_values, self.config.num_channels)
        encoded = self.encoder(pixel_values, **kwargs)
        height, width = pixel_values.shape[-2:]
        all_maps = (encoded.stem_map, *encoded.feature_maps)
        chosen = tuple(
            feature_map[:, :, : -(-height // stride), : -(-width // stride)].contiguous()
            for name, stride, feature_map in zip(self.stage_names, self.strides, all_maps, strict=True)
            if name in self.out_features
        )
        return BackboneOutput(feature_maps=chosen, hidden_states=encoded.hidden_states, attentions=encoded.attentions)


__all__ = ["EncoderBackbone"]
