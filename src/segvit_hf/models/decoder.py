"""What a decoder is: feature maps, the input's size and labels go in; logits and named losses come out.

A decoder is any module with `forward(feature_maps, size, labels=None, **kwargs) -> DecoderOutput`, and
`SemanticSegmentationModel` is its only caller. `feature_maps` are the encoder's (batch, hidden_size, rows, columns)
each, `size` is (height, width) of the input, `labels` are (batch, height, width) int64 in training, and `**kwargs` are
those of the model's forward.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers.utils import ModelOutput

from segvit_hf._compat import TransformersKwargs, Unpack
from segvit_hf.layers.resize import resize_padded
from segvit_hf.models.configuration import SemanticSegmentationConfig
from segvit_hf.models.losses import cross_entropy

# Of the decoders' transformer layers; the encoder's is a field of the configuration.
LAYER_NORM_EPS = 1e-5


@dataclass
class DecoderOutput(ModelOutput):
    """What a decoder returns.

    Args:
        logits: (batch, num_labels, height, width), the size of the input.
        losses: The weighted parts of the training loss by the original's names; with labels only.
        attentions: Every layer's attention probabilities, where the original shows them.
        predictions: What the losses are made of, in the decoder's own form; with labels, of SegViT's only.
    """

    logits: torch.Tensor | None = None
    losses: dict[str, torch.Tensor] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None
    predictions: Any | None = None


class DecodeHead(nn.Module):
    """Base of the decoders and auxiliary heads that classify pixels, like mmsegmentation's BaseDecodeHead.

    A subclass implements `classify`. The loss is the cross entropy, divided by the number of ALL pixels.

    Args:
        config: Gives the ignore index.
        loss_name: The original's name of the loss.
        loss_weight: Factor of the loss.
        size_divisor: What the sides of the input were padded to multiples of before the encoder; 1 for no padding.
    """

    def __init__(
        self,
        config: SemanticSegmentationConfig,
        *,
        loss_name: str,
        loss_weight: float = 1.0,
        size_divisor: int = 1,
    ) -> None:
        super().__init__()
        self.config = config
        self.loss_name = loss_name
        self.loss_weight = loss_weight
        self.size_divisor = size_divisor

    def classify(self, feature_maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Feature maps -> logits (batch, num_labels, rows, columns) of any resolution."""
        raise NotImplementedError

    def forward(
        self,
        feature_maps: Sequence[torch.Tensor],
        size: tuple[int, int],
        labels: torch.Tensor | None = None,
        **_kwargs: Unpack[TransformersKwargs],
    ) -> DecoderOutput:
        """As every decoder's, see the module's description."""
        logits = resize_padded(self.classify(feature_maps), size, self.size_divisor)
        losses = None
        if labels is not None:
            loss = cross_entropy(logits, labels, self.config.semantic_loss_ignore_index, avg_non_ignore=False)
            losses = {self.loss_name: self.loss_weight * loss}
        return DecoderOutput(logits=logits, losses=losses)


__all__ = ["LAYER_NORM_EPS", "DecodeHead", "DecoderOutput"]
