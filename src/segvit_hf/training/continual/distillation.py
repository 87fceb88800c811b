"""Distillation of older classes from the decoders that earlier steps ended with, for SegViTv2's head.

Follows `EncoderDecoderCL` of https://github.com/jinchaogjc/cit: a class is taught by the decoder of the step in which
it was new. Unlike there, teachers run without dropout.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.hooks import RemovableHandle

from segvit_hf.layers.resize import resize_bilinear
from segvit_hf.models.class_groups import class_ranges
from segvit_hf.models.decoder import DecoderOutput
from segvit_hf.models.segvit.configuration_segvit import SegVitConfig
from segvit_hf.models.segvit.loss_segvit import Prediction
from segvit_hf.models.segvit.modeling_segvit import SegVitAtmDecoder
from segvit_hf.training.continual.plan import DistillationRecipe


class Distillation:
    """Adds what teachers say of older classes to the losses of a decoder in training, as its forward hook.

    Args:
        config: The student's.
        teachers: By step, the decoder that the step ended with; the newest group of each teaches.
        recipe: Weights and temperature.
    """

    def __init__(self, config: SegVitConfig, teachers: Sequence[SegVitAtmDecoder], recipe: DistillationRecipe) -> None:
        self.config = config
        self.teachers = teachers
        for teacher in teachers:
            teacher.eval().requires_grad_(False)
        self.recipe = recipe

    def attach(self, decoder: nn.Module) -> RemovableHandle:
        """Lets the decoder's outputs pass through here."""
        return decoder.register_forward_hook(self)

    def __call__(self, decoder: nn.Module, arguments: tuple[Any, ...], output: DecoderOutput) -> DecoderOutput:
        """The decoder's output with the parts of distillation among its losses, in training."""
        feature_maps, _, labels = arguments
        if labels is None or not decoder.training or output.losses is None or output.predictions is None:
            return output
        taught = self.teach(feature_maps)
        student = [_joined(predictions) for predictions in zip(*output.predictions[: len(taught)], strict=True)]
        teacher = [_joined(predictions) for predictions in zip(*taught, strict=True)]
        output.losses = {**output.losses, **self.losses(student, teacher, labels)}
        return output

    @torch.no_grad()
    def teach(self, feature_maps: Sequence[torch.Tensor]) -> list[list[Prediction]]:
        """For each older group of classes, the predictions of its teacher's stages."""
        groups = []
        for teacher in self.teachers:
            teacher.to(feature_maps[0].device)
            groups.append(teacher.predict(teacher.groups()[-1], feature_maps, return_auxiliary=True))
        return groups

    def losses(
        self, student: Sequence[Prediction], teacher: Sequence[Prediction], labels: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """The weighted parts by the original's names.

        Args:
            student: For each stage, class logits (batch, num_old, 2) and mask logits (batch, num_old, rows, columns)
                of the older classes.
            teacher: The same of the teachers.
            labels: (batch, height, width), int64: those of the step.
        """
        losses = {}
        names = ["", *(f"_aux{index}" for index in range(len(student) - 1))]
        # As the original: the last stage first, then the others in order.
        for name, mine, theirs in zip(names, _last_first(student), _last_first(teacher), strict=True):
            mask_size = [self.config.mask_side] * 2 if name == "" else None
            targets = (self.recipe.temperature * theirs[0].float()).sigmoid()
            class_loss = F.binary_cross_entropy_with_logits(mine[0].float(), targets)
            losses[f"loss_cls_diff{name}"] = self.recipe.class_factor * class_loss
            mask_loss = self._mask_loss(mine[1].float(), theirs[1].float(), labels, mask_size)
            losses[f"loss_attn_diff{name}"] = self.recipe.mask_factor * mask_loss
        return losses

    def _mask_loss(
        self, student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor, mask_size: list[int] | None
    ) -> torch.Tensor:
        if mask_size is not None:
            student, teacher = resize_bilinear(student, mask_size), resize_bilinear(teacher, mask_size)
        size = labels.shape[-2:]
        # The teacher's probabilities are resized, the student's logits are.
        targets = resize_bilinear((self.recipe.temperature * teacher).sigmoid(), size)
        is_new = (labels >= class_ranges(self.config)[-1].start) & (labels != self.config.semantic_loss_ignore_index)
        targets = targets.masked_fill(is_new[:, None], 0.0)
        return F.binary_cross_entropy_with_logits(resize_bilinear(student, size), targets)


def _joined(predictions: Sequence[Prediction]) -> Prediction:
    """One prediction for the classes of several groups."""
    class_logits, mask_logits = zip(*predictions, strict=True)
    return torch.cat(class_logits, dim=1), torch.cat(mask_logits, dim=1)


def _last_first(predictions: Sequence[Prediction]) -> list[Prediction]:
    return [predictions[-1], *predictions[:-1]]


__all__ = ["Distillation"]
