"""Any transformers backbone whose maps have one stride, as the encoder of our decoders."""

import contextlib
from typing import Any

import torch
from torch import nn

from segvit_hf._compat import TransformersKwargs, Unpack
from segvit_hf.encoders.configuration_backbone import TIMM, build_backbone, pyramid_error
from segvit_hf.encoders.configuration_vit import ViTEncoderConfig
from segvit_hf.encoders.vit import ViTEncoderOutput, ViTPreTrainedModel
from segvit_hf.layers.resize import fit_to_patches

_OPTIONAL_OUTPUTS = ("output_hidden_states", "output_attentions")


class BackboneEncoder(ViTPreTrainedModel):
    """Reads the layers `config.encoder_out_indices` of the backbone of `config.backbone_config`.

    A frozen backbone (`config.freeze_backbone`) has no parameters that want gradients, runs without gradients, and
    stays in eval mode when the model trains.
    """

    def __init__(self, config: ViTEncoderConfig) -> None:
        super().__init__(config)
        self.backbone: Any = build_backbone(config.filled_backbone_config)
        self.post_init()
        self.train(self.training)

    def train(self, mode: bool = True) -> "BackboneEncoder":
        """Sets the mode, of a frozen backbone always eval: some resample positions or drop paths at random."""
        super().train(mode)
        # Here, because `from_pretrained` replaces the parameters, and sets the mode when it has.
        if self.config.freeze_backbone:
            self.backbone.requires_grad_(False)
            self.backbone.eval()
        for name, parameter in self.backbone.named_parameters():
            if name.endswith("mask_token"):
                parameter.requires_grad_(False)  # pretraining's alone: no loss would reach it
        return self

    def get_input_embeddings(self) -> nn.Module:
        """What makes tokens of patches."""
        return self.backbone.get_input_embeddings()

    def forward(self, pixel_values: torch.Tensor, **kwargs: Unpack[TransformersKwargs]) -> ViTEncoderOutput:
        """As `run_backbone`."""
        return self.run_backbone(pixel_values, **kwargs)

    def run_backbone(self, pixel_values: torch.Tensor, **kwargs: Unpack[TransformersKwargs]) -> ViTEncoderOutput:
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
        size = self.config.patch_size
        pixel_values = fit_to_patches(pixel_values.to(self.backbone.dtype), size, self.config.backbone_padding)
        with torch.no_grad() if self.config.freeze_backbone else contextlib.nullcontext():
            output = self.backbone(pixel_values, **self._backbone_arguments(kwargs))
        grid = (pixel_values.shape[-2] // size, pixel_values.shape[-1] // size)
        for feature_map in output.feature_maps:
            if feature_map.ndim != 4 or feature_map.shape[-2:] != grid:
                raise pyramid_error(self.backbone.config, f"a map {tuple(feature_map.shape)} of {grid} patches")
        return ViTEncoderOutput(
            feature_maps=tuple(output.feature_maps),
            hidden_states=output.hidden_states,
            attentions=output.attentions,
        )

    def _backbone_arguments(self, kwargs: Any) -> dict[str, Any]:
        wanted = {name: kwargs.get(name, getattr(self.config, name)) for name in _OPTIONAL_OUTPUTS}
        if self.backbone.config.model_type != TIMM:
            return {**kwargs, **wanted}
        for name, value in wanted.items():
            if value:
                raise ValueError(
                    f"{name}: expected False, for timm's backbones return feature maps alone, found True."
                )
        return {}


__all__ = ["BackboneEncoder"]
