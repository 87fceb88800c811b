"""HLG for object detection: RetinaNet over a feature pyramid (hlg-detection of https://github.com/fudan-zvg/SETR).

RetinaNet's parts are imported where they are needed: they bring torchvision's operations, without which all other
models work.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from transformers.utils import ModelOutput

from segvit_hf._compat import TransformersKwargs, Unpack, can_return_tuple, initialization
from segvit_hf.encoders.hlg import HlgEncoder, HlgPreTrainedModel
from segvit_hf.encoders.inputs import check_pixel_values
from segvit_hf.layers.resize import pad_to_multiple
from segvit_hf.models.configuration import filled
from segvit_hf.models.hlg.configuration_hlg import BOX_SIZE, HlgConfig
from segvit_hf.models.hlg.modeling_hlg import heads_but

# Inputs are padded with zeros to multiples of it, as in the original's pipeline.
SIZE_DIVISOR = 32
# Of an object at an untrained anchor.
PRIOR_PROBABILITY = 0.01


@dataclass
class HlgObjectDetectionOutput(ModelOutput):
    """What the detector returns.

    Args:
        loss: Scalar, the total training loss; with labels only.
        loss_dict: The weighted parts that it sums; with labels only.
        logits: (batch, num_boxes, num_labels), one per class, each its own question (sigmoid).
        pred_boxes: (batch, num_boxes, 4), center x, center y, width and height as shares of the image's width and
            height; of a ragged batch, of the image without its padding.
        box_offsets: (batch, num_boxes, 4), what the boxes were decoded from.
        hidden_states: The encoder's.
        attentions: The encoder's.
    """

    loss: torch.Tensor | None = None
    loss_dict: dict[str, torch.Tensor] | None = None
    logits: torch.Tensor | None = None
    pred_boxes: torch.Tensor | None = None
    box_offsets: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


class HlgForObjectDetection(HlgPreTrainedModel):
    """HLG's encoder, a feature pyramid and RetinaNet's heads."""

    config: HlgConfig
    # As the segmenters': Trainer divides the loss by the gradient accumulation steps.
    accepts_loss_kwargs = False
    _no_split_modules = ["HlgLayer", "FeaturePyramid", "HlgDetector"]
    _keys_to_ignore_on_load_unexpected = heads_but("pyramid", "detector")

    def __init__(self, config: HlgConfig) -> None:
        from torchvision.models.detection._utils import BoxCoder

        from segvit_hf.models.hlg.retinanet import Anchors, FeaturePyramid, HlgDetector

        super().__init__(config)
        self.encoder = HlgEncoder(config)
        self.pyramid = FeaturePyramid(config)
        self.detector = HlgDetector(config)
        self.anchors = Anchors(config)
        self.box_coder = BoxCoder(weights=(1.0, 1.0, 1.0, 1.0))
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The first convolution."""
        return self.encoder.get_input_embeddings()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        from segvit_hf.models.hlg.retinanet import FeaturePyramid, HlgDetector

        super()._init_weights(module)
        if isinstance(module, FeaturePyramid):
            for convolution in _convolutions(module):
                initialization.xavier_uniform_(convolution.weight)
                initialization.zeros_(filled(convolution.bias))
        elif isinstance(module, HlgDetector):
            for convolution in _convolutions(module):
                initialization.normal_(convolution.weight, std=0.01)
                initialization.zeros_(filled(convolution.bias))
            prior = -math.log((1 - PRIOR_PROBABILITY) / PRIOR_PROBABILITY)
            initialization.constant_(filled(module.classification.output.bias), prior)

    @can_return_tuple
    def forward(
        self,
        pixel_values: torch.Tensor,
        labels: Sequence[Mapping[str, torch.Tensor]] | None = None,
        pixel_mask: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> HlgObjectDetectionOutput:
        """Scored boxes of images, and with labels the training loss.

        Args:
            pixel_values: (batch, channels, height, width) of any size, normalized.
            labels: For every image a dictionary of `class_labels` (n,) int64 and `boxes` (n, 4), center x, center y,
                width and height as shares of the image's width and height.
            pixel_mask: (batch, height, width), 1 where the image is, 0 where a ragged batch is padded at the bottom
                and at the right.
            **kwargs: What to return (`output_hidden_states`, `output_attentions`), and options of the attention.

        Raises:
            TypeError: `pixel_values` are no floating-point numbers.
            ValueError: A tensor of another shape, or labels of another number of images or that are no classes.
        """
        check_pixel_values(pixel_values, self.config.num_channels)
        image_sizes = _image_sizes(pixel_values, pixel_mask)
        encoded = self.encoder(pad_to_multiple(pixel_values, SIZE_DIVISOR), **kwargs)
        levels = self.pyramid.levels(encoded.feature_maps)
        logits, offsets = self.detector.classification(levels), self.detector.regression(levels)
        anchors = self.anchors(levels)
        losses = None
        if labels is not None:
            from segvit_hf.models.hlg.retinanet import RetinaNetLoss

            self._check_labels(labels, len(pixel_values))
            losses = RetinaNetLoss(self.config)(logits.float(), offsets.float(), anchors, labels, image_sizes)
        return HlgObjectDetectionOutput(
            loss=None if losses is None else torch.stack(list(losses.values())).sum(),
            loss_dict=losses,
            logits=logits,
            pred_boxes=self._decode(offsets, anchors, image_sizes),
            box_offsets=offsets,
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
        )

    def _decode(self, offsets: torch.Tensor, anchors: torch.Tensor, image_sizes: torch.Tensor) -> torch.Tensor:
        """Boxes as shares of the images' sides, cut off at their borders."""
        from torchvision.ops import box_convert

        batch_size = offsets.shape[0]
        corners = self.box_coder.decode_single(offsets.float().flatten(0, 1), anchors.repeat(batch_size, 1))
        sides = image_sizes.flip(1).repeat(1, 2)[:, None].to(corners)
        shares = (corners.unflatten(0, (batch_size, -1)) / sides).clamp(0, 1)
        return box_convert(shares, "xyxy", "cxcywh").to(offsets.dtype)

    def _check_labels(self, labels: Sequence[Mapping[str, torch.Tensor]], batch_size: int) -> None:
        if len(labels) != batch_size:
            raise ValueError(f"labels: expected one dictionary for each of {batch_size} images, found {len(labels)}.")
        for index, target in enumerate(labels):
            classes, boxes = target["class_labels"], target["boxes"]
            if boxes.shape != (len(classes), BOX_SIZE):
                raise ValueError(
                    f"labels[{index}]: expected boxes of shape ({len(classes)}, {BOX_SIZE}), one per class "
                    f"label, found {tuple(boxes.shape)}."
                )
            if len(classes) and not 0 <= int(classes.min()) <= int(classes.max()) < self.config.num_labels:
                raise ValueError(
                    f"labels[{index}]: expected class labels 0 to {self.config.num_labels - 1}, found "
                    f"{classes.min()} to {classes.max()}."
                )


def _image_sizes(pixel_values: torch.Tensor, pixel_mask: torch.Tensor | None) -> torch.Tensor:
    """(batch, 2), heights and widths of the images without the padding of a ragged batch."""
    if pixel_mask is None:
        return torch.tensor(pixel_values.shape[-2:], device=pixel_values.device).expand(len(pixel_values), 2)
    expected = (len(pixel_values), *pixel_values.shape[-2:])
    if pixel_mask.shape != expected:
        raise ValueError(
            f"pixel_mask: expected (batch, height, width) = {expected} like pixel_values, found "
            f"{tuple(pixel_mask.shape)}."
        )
    return torch.stack([pixel_mask.any(2).sum(1), pixel_mask.any(1).sum(1)], dim=1)


def _convolutions(module: nn.Module) -> list[nn.Conv2d]:
    return [part for part in module.modules() if isinstance(part, nn.Conv2d)]


__all__ = ["HlgForObjectDetection", "HlgObjectDetectionOutput"]
