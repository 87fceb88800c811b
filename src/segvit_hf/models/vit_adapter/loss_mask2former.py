"""Mask2Former's training loss on masks that are matched to the classes of an image.

Follows Mask2FormerHead with MaskHungarianAssigner of https://github.com/czczup/ViT-Adapter (segmentation code).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from segvit_hf.models.losses import average_num_masks, classes_present, dice_loss
from segvit_hf.models.vit_adapter.configuration_vit_adapter import VitAdapterConfig

# Class logits (batch, num_queries, num_labels + 1), the last being no object, and mask logits (batch, num_queries,
# rows, columns).
Prediction = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class GroundTruth:
    """One mask per class that an image shows.

    Attributes:
        class_ids: (num_masks,) int64, ascending.
        masks: (num_masks, 1, height, width) float32, 0 or 1.
    """

    class_ids: torch.Tensor
    masks: torch.Tensor


def sample_points(maps: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Bilinear values of maps at points.

    Args:
        maps: (num_maps, 1, height, width) float32.
        points: (num_maps or 1, num_points, 2) float32, (x, y) in 0..1.

    Returns:
        (num_maps, num_points).
    """
    positions = (2 * points - 1).expand(len(maps), -1, -1)
    return F.grid_sample(maps, positions[:, :, None], mode="bilinear", align_corners=False)[:, 0, :, 0]


@contextmanager
def same_random_points(device: torch.device) -> Iterator[None]:
    """Draws the same random numbers whenever it is entered, and leaves the generators as they were."""
    with torch.random.fork_rng(devices=[] if device.type == "cpu" else [device], device_type=device.type):
        torch.manual_seed(0)
        yield


class Mask2FormerLoss(nn.Module):
    """Hungarian matching of predicted masks to the classes of each image, and the loss of the matched pairs.

    Both look at random points, which in eval mode are the same at every call, so that validation losses can be
    compared.
    """

    def __init__(self, config: VitAdapterConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, predictions: Sequence[Prediction], labels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Matches and supervises every prediction.

        Args:
            predictions: In the decoder's order; the last one is the model's, all are supervised.
            labels: (batch, height, width), int64; ignored pixels are in no mask.

        Returns:
            Weighted parts `decode.loss_cls`, `decode.loss_mask` and `decode.loss_dice` of the last prediction, and
            `decode.d0.loss_cls`, ... of the others.
        """
        present = classes_present(labels, self.config.num_labels, self.config.semantic_loss_ignore_index)
        ground_truths = []
        for image_labels, image_present in zip(labels, present, strict=True):
            class_ids = image_present.nonzero()[:, 0]
            masks = (image_labels == class_ids[:, None, None]).float()[:, None]
            ground_truths.append(GroundTruth(class_ids=class_ids, masks=masks))
        with nullcontext() if self.training else same_random_points(labels.device):
            parts = [self.prediction_losses(*prediction, ground_truths) for prediction in predictions]
        losses = {f"decode.{name}": value for name, value in parts[-1].items()}
        for index, auxiliary in enumerate(parts[:-1]):
            losses.update({f"decode.d{index}.{name}": value for name, value in auxiliary.items()})
        return losses

    @torch.no_grad()
    def matching_cost(
        self, class_logits: torch.Tensor, mask_logits: torch.Tensor, ground_truth: GroundTruth
    ) -> torch.Tensor:
        """Cost of pairing each query with each mask of one image, at points drawn for this call.

        Args:
            class_logits: (num_queries, num_labels + 1), float32.
            mask_logits: (num_queries, rows, columns), float32.
            ground_truth: The masks of the image.

        Returns:
            (num_queries, num_masks).
        """
        config = self.config
        points = torch.rand((1, config.num_points, 2), device=mask_logits.device)
        predicted = sample_points(mask_logits[:, None], points)
        targets = sample_points(ground_truth.masks, points)
        class_cost = -class_logits.softmax(-1)[:, ground_truth.class_ids]
        # Cross entropy with target 1 is softplus(-logit), with target 0 softplus(logit).
        mask_cost = F.softplus(-predicted) @ targets.t() + F.softplus(predicted) @ (1 - targets).t()
        probabilities = predicted.sigmoid()
        overlap = probabilities @ targets.t()
        dice_cost = 1 - (2 * overlap + 1) / (probabilities.sum(1)[:, None] + targets.sum(1)[None] + 1)
        return (
            config.class_loss_weight * class_cost
            + config.mask_loss_weight * mask_cost / config.num_points
            + config.dice_loss_weight * dice_cost
        )

    def match(
        self, class_logits: torch.Tensor, mask_logits: torch.Tensor, ground_truth: GroundTruth
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Matched queries of one image, ascending, and the index of each one's mask; both (num_matched,) int64."""
        from scipy.optimize import linear_sum_assignment  # here, because only training needs it

        cost = self.matching_cost(class_logits, mask_logits, ground_truth)
        queries, targets = linear_sum_assignment(cost.cpu().numpy())
        device = mask_logits.device
        return torch.as_tensor(queries, device=device), torch.as_tensor(targets, device=device)

    @torch.no_grad()
    def choose_points(self, mask_logits: torch.Tensor) -> torch.Tensor:
        """Points for the loss: of many random ones those where the logits are closest to 0, and some random ones.

        Args:
            mask_logits: (num_masks, 1, rows, columns), float32.

        Returns:
            (num_masks, num_points, 2), (x, y) in 0..1.
        """
        config, num_masks, device = self.config, len(mask_logits), mask_logits.device
        num_candidates = int(config.num_points * config.oversample_ratio)
        num_uncertain = int(config.importance_sample_ratio * config.num_points)
        candidates = torch.rand(num_masks, num_candidates, 2, device=device)
        certainty = sample_points(mask_logits, candidates).abs()
        uncertain = (-certainty).topk(num_uncertain, dim=1).indices
        points = candidates.gather(1, uncertain[:, :, None].expand(-1, -1, 2))
        if num_uncertain < config.num_points:
            others = torch.rand(num_masks, config.num_points - num_uncertain, 2, device=device)
            points = torch.cat([points, others], dim=1)
        return points

    def prediction_losses(
        self, class_logits: torch.Tensor, mask_logits: torch.Tensor, ground_truths: Sequence[GroundTruth]
    ) -> dict[str, torch.Tensor]:
        """Weighted parts of one prediction."""
        config = self.config
        class_logits, mask_logits = class_logits.float(), mask_logits.float()
        class_targets = torch.full(class_logits.shape[:2], config.num_labels, device=class_logits.device)
        matched_logits, matched_masks = [], []
        for index, ground_truth in enumerate(ground_truths):
            queries, targets = self.match(class_logits[index], mask_logits[index], ground_truth)
            class_targets[index, queries] = ground_truth.class_ids[targets]
            matched_logits.append(mask_logits[index, queries])
            matched_masks.append(ground_truth.masks[targets])
        class_weights = class_logits.new_ones(config.num_labels + 1)
        class_weights[-1] = config.no_object_weight
        loss_cls = F.cross_entropy(class_logits.transpose(1, 2), class_targets, class_weights)
        logits, masks = torch.cat(matched_logits)[:, None], torch.cat(matched_masks)
        num_masks = average_num_masks(torch.tensor(len(logits), device=logits.device))
        loss_mask = loss_dice = logits.sum()  # 0 when nothing was matched, still part of the graph
        if len(logits):
            points = self.choose_points(logits)
            predicted, targets = sample_points(logits, points), sample_points(masks, points)
            loss_mask = F.binary_cross_entropy_with_logits(predicted, targets, reduction="sum") / config.num_points
            loss_dice = dice_loss(predicted, targets)
        return {
            "loss_cls": config.class_loss_weight * loss_cls,
            "loss_mask": config.mask_loss_weight * loss_mask / num_masks,
            "loss_dice": config.dice_loss_weight * loss_dice / num_masks,
        }


__all__ = ["GroundTruth", "Mask2FormerLoss", "Prediction", "sample_points"]
