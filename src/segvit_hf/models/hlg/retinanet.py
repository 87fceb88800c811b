"""RetinaNet on HLG's feature maps, from torchvision's parts: pyramid, heads, anchors, and the training loss.

Follows mmdetection 2.x's FPN and RetinaHead, with which the original trains its detectors. Matching, box coding and
focal loss are torchvision's.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torchvision.models.detection._utils import BoxCoder, Matcher
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import (
    Conv2dNormActivation,
    FeaturePyramidNetwork,
    box_convert,
    box_iou,
    sigmoid_focal_loss,
)
from torchvision.ops.feature_pyramid_network import ExtraFPNBlock

from segvit_hf.models.hlg.configuration_hlg import BOX_SIZE, HlgConfig

# Feature maps that the pyramid starts from: all but the finest.
FIRST_MAP = 1
PYRAMID_STRIDES = (8, 16, 32, 64, 128)


class TwoCoarserLevels(ExtraFPNBlock):
    """Two more levels by convolutions of stride 2, the first of the encoder's last map; no activation between them."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(channels, out_channels, kernel_size=3, stride=2, padding=1)
            for channels in (in_channels, out_channels)
        )

    def forward(
        self, results: list[torch.Tensor], x: list[torch.Tensor], names: list[str]
    ) -> tuple[list[torch.Tensor], list[str]]:
        """The pyramid's levels, the encoder's maps and their names -> levels and names with two more."""
        level = x[-1]
        for index, convolution in enumerate(self.convolutions):
            level = convolution(level)
            results.append(level)
            names.append(f"extra{index}")
        return results, names


class FeaturePyramid(FeaturePyramidNetwork):
    """Five levels of strides 8 to 128 from the encoder's maps of strides 8 to 32."""

    def __init__(self, config: HlgConfig) -> None:
        sizes, width = list(config.hidden_sizes[FIRST_MAP:]), config.pyramid_hidden_size
        super().__init__(sizes, width, extra_blocks=TwoCoarserLevels(sizes[-1], width))

    def levels(self, feature_maps: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Four maps, finest first -> five levels (batch, pyramid_hidden_size, rows, columns), finest first."""
        named = OrderedDict((str(index), feature_map) for index, feature_map in enumerate(feature_maps[FIRST_MAP:]))
        return list(self(named).values())


class DenseHead(nn.Module):
    """Convolutions and a classifier or regressor that all levels share.

    Args:
        width: Channels of the levels and of the convolutions.
        num_convolutions: Number of convolutions.
        num_anchors: Anchors per cell of a level.
        num_values: Numbers per anchor.
    """

    def __init__(self, width: int, num_convolutions: int, num_anchors: int, num_values: int) -> None:
        super().__init__()
        self.num_values = num_values
        self.convolutions = nn.Sequential(
            *(Conv2dNormActivation(width, width, norm_layer=None) for _ in range(num_convolutions))
        )
        self.output = nn.Conv2d(width, num_anchors * num_values, kernel_size=3, padding=1)

    def maps(self, levels: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Every level's numbers, (batch, num_anchors * num_values, rows, columns)."""
        return [self.output(self.convolutions(level)) for level in levels]

    def forward(self, levels: Sequence[torch.Tensor]) -> torch.Tensor:
        """All levels' numbers in the order of `Anchors`, (batch, num_boxes, num_values)."""
        flat = [
            values.unflatten(1, (-1, self.num_values)).permute(0, 3, 4, 1, 2).flatten(1, 3)
            for values in self.maps(levels)
        ]
        return torch.cat(flat, dim=1)


class HlgDetector(nn.Module):
    """RetinaNet's two heads."""

    def __init__(self, config: HlgConfig) -> None:
        super().__init__()
        num_anchors = config.anchor_scales_per_octave * len(config.anchor_ratios)
        width, depth = config.pyramid_hidden_size, config.detector_num_convolutions
        self.classification = DenseHead(width, depth, num_anchors, config.num_labels)
        self.regression = DenseHead(width, depth, num_anchors, BOX_SIZE)


class Anchors(AnchorGenerator):
    """Anchors of every cell of every level, in pixels; unlike torchvision's, not rounded, and of fixed strides.

    Args:
        config: Gives scales and ratios.
    """

    def __init__(self, config: HlgConfig) -> None:
        octave = config.anchor_scales_per_octave
        scales = [config.anchor_base_scale * 2 ** (step / octave) for step in range(octave)]
        sizes = tuple(tuple(stride * scale for scale in scales) for stride in PYRAMID_STRIDES)
        nn.Module.__init__(self)  # not torchvision's, which keeps tensors that no `.to` and no loading would move
        self.sizes, self.aspect_ratios = sizes, (tuple(config.anchor_ratios),) * len(sizes)

    def forward(self, levels: Sequence[torch.Tensor]) -> torch.Tensor:
        """Levels -> (num_boxes, 4), left, top, right and bottom, level by level and row by row; float32."""
        device = levels[0].device
        self.cell_anchors = [
            cell_anchors(sizes, ratios, device) for sizes, ratios in zip(self.sizes, self.aspect_ratios, strict=True)
        ]
        grids = [list(level.shape[-2:]) for level in levels]
        return torch.cat(self.grid_anchors(grids, [[stride, stride] for stride in PYRAMID_STRIDES]))


def cell_anchors(sizes: Sequence[float], ratios: Sequence[float], device: torch.device) -> torch.Tensor:
    """Anchors around the origin, (len(ratios) * len(sizes), 4); ratios are height / width and vary slowest."""
    sides = torch.tensor(sizes, device=device)
    stretch = torch.tensor(ratios, device=device).sqrt()
    width, height = (sides / stretch[:, None]).flatten(), (sides * stretch[:, None]).flatten()
    return torch.stack([-width, -height, width, height], dim=1) / 2


@dataclass(frozen=True)
class MatchedImage:
    """What an image's anchors are to learn.

    Attributes:
        classes: (num_boxes, num_labels), 1 where an anchor is an object's of that class, else 0.
        counted: (num_boxes,), False for anchors that are neither an object's nor background.
        positive: (num_boxes,), True for anchors of objects.
        offsets: (number of positive anchors, 4), the encoded boxes of their objects.
    """

    classes: torch.Tensor
    counted: torch.Tensor
    positive: torch.Tensor
    offsets: torch.Tensor


class RetinaNetLoss:
    """Focal loss of all anchors and L1 loss of those of objects, both divided by the number of the latter.

    Args:
        config: Gives overlaps and weights.
        num_labels: Number of classes.
    """

    def __init__(self, config: HlgConfig) -> None:
        self.config = config
        self.matcher = Matcher(config.positive_overlap, config.negative_overlap, allow_low_quality_matches=True)
        self.box_coder = BoxCoder(weights=(1.0, 1.0, 1.0, 1.0))

    def __call__(
        self,
        logits: torch.Tensor,
        offsets: torch.Tensor,
        anchors: torch.Tensor,
        targets: Sequence[Mapping[str, torch.Tensor]],
        image_sizes: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """The weighted parts of the loss of a batch.

        Args:
            logits: (batch, num_boxes, num_labels).
            offsets: (batch, num_boxes, 4).
            anchors: (num_boxes, 4) in pixels.
            targets: For every image `class_labels` (n,) and `boxes` (n, 4), center, width and height as shares.
            image_sizes: (batch, 2), heights and widths in pixels.

        Returns:
            `loss_cls` and `loss_bbox`, mmdetection's names.
        """
        matched = [self.match(target, anchors, size) for target, size in zip(targets, image_sizes, strict=True)]
        classification, regression, num_positive = (logits.new_zeros(()) for _ in range(3))
        for image, image_logits, image_offsets in zip(matched, logits, offsets, strict=True):
            losses = sigmoid_focal_loss(
                image_logits, image.classes, alpha=self.config.focal_loss_alpha, gamma=self.config.focal_loss_gamma
            )
            classification = classification + losses[image.counted].sum()
            regression = regression + (image_offsets[image.positive] - image.offsets).abs().sum()
            num_positive = num_positive + image.positive.sum().clamp(min=1)
        return {
            "loss_cls": classification / num_positive,
            "loss_bbox": self.config.box_loss_weight * regression / num_positive,
        }

    def match(
        self, target: Mapping[str, torch.Tensor], anchors: torch.Tensor, image_size: torch.Tensor
    ) -> MatchedImage:
        """What the anchors of one image are to learn."""
        height, width = image_size.tolist()
        boxes = box_convert(target["boxes"].to(anchors), "cxcywh", "xyxy") * anchors.new_tensor([width, height] * 2)
        labels = target["class_labels"].to(anchors.device)
        classes = anchors.new_zeros(len(anchors), self.config.num_labels)
        if not len(boxes):
            background = anchors.new_zeros(len(anchors), dtype=torch.bool)
            return MatchedImage(classes, ~background, background, anchors.new_zeros(0, BOX_SIZE))
        index = self.matcher(box_iou(boxes, anchors))
        positive = index >= 0
        classes[positive, labels[index[positive]]] = 1.0
        offsets = self.box_coder.encode_single(boxes[index[positive]], anchors[positive])
        return MatchedImage(classes, index != Matcher.BETWEEN_THRESHOLDS, positive, offsets)


__all__ = ["Anchors", "FeaturePyramid", "HlgDetector", "RetinaNetLoss"]
