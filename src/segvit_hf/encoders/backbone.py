"""Any transformers backbone whose maps have one stride, as the encoder of our decoders."""

import contextlib
from typing import Any

import torch
from torch import nn

from segvit_hf._compat import TransformersKwargs, Unpack
from segvit_hf.encoders.configuration_backbone import TIMM, build_backbone, pyramid_error
from segvit_hf.encoders.configuration_vit import ViTEncoderConfig
from segvit_hf.encoders.vit import ViTEncoderOutput
from segvit_hf.layers.resize import fit_to_patches


class BackboneEncoder(nn.Module):
    """Reads the layers `config.encoder_out_indices` of the backbone of `config.backbone_config`.

    A frozen backbone (`config.freeze_backbone`) has no parameters that want gradients, runs without gradients, and
    stays in eval mode when the model trains.
    """

    def __init__(self, config: ViTEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone: Any = build_backbone(config.filled_backbone_config)
        if config.freeze_backbone:
            self.backbone.requires_grad_(False)
            self.backbone.eval()

    def train(self, mode: bool = True) -> "BackboneEncoder":
        """Sets the mode, of a frozen backbone always eval: some resample positions or drop paths at random."""
        super().train(mode)
        if self.config.freeze_backbone:
            self.backbone.eval()
        return self

    def get_input_embeddings(self) -> nn.Module:
        """What makes tokens of patches."""
        return self.backbone.get_input_embeddings()

    def forward(self, pixel_values: torch.Tensor, **kwargs: Unpack[TransformersKwargs]) -> ViTEncoderOutput:
        """Runs the backbone.

        Args:
            pixel_values: (batch, channels, height, width) of any height and width, padded with zeros or cut to
                multiples of the patch size as `config.backbone_padding` says.
            **kwargs: What to return (`output_hidden_states`, `output_attentions`), and options of the attention.

        Returns:
            Maps (batch, hidden_size, rows, columns) of the patches of the padded input, without class and register
            tokens; `last_hidden_state` is `None`.

        Raises:
            ValueError: The backbone's maps are no (batch, channels, rows, columns) of its patch size, or timm's
                backbone is asked for hidden states or attentions.
        """
        if self.backbone.config.model_type == TIMM:
            self._refuse_timm_outputs(kwargs)
        size = self.config.patch_size
        pixel_values = fit_to_patches(pixel_values.to(self.backbone.dtype), size, self.config.backbone_padding)
        with torch.no_grad() if self.config.freeze_backbone else contextlib.nullcontext():
            output = self.backbone.forward_with_filtered_kwargs(pixel_values, **kwargs)
        grid = (pixel_values.shape[-2] // size, pixel_values.shape[-1] // size)
        for feature_map in output.feature_maps:
            if feature_map.ndim != 4 or feature_map.shape[-2:] != grid:
                raise pyramid_error(self.backbone.config, f"a map {tuple(feature_map.shape)} of {grid} patches")
        return ViTEncoderOutput(
            feature_maps=tuple(output.feature_maps),
            hidden_states=output.hidden_states,
            attentions=output.attentions,
        )

    @staticmethod
    def _refuse_timm_outputs(kwargs: Any) -> None:
        for name in ("output_hidden_states", "output_attentions"):
            if kwargs.get(name):
                raise ValueError(
                    f"{name}: expected False, for timm's backbones return feature maps alone, found True."
                )


__all__ = ["BackboneEncoder"]
