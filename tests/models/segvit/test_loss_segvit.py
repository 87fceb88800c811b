"""SegViT's loss beyond the recorded cases."""

import pytest
import torch

from segvit_hf import SegVitConfig
from segvit_hf.models.segvit.loss_segvit import segvit_losses


def random_outputs(num_outputs: int = 3) -> list[tuple[torch.Tensor, torch.Tensor]]:
    torch.manual_seed(0)
    return [(torch.randn(2, 4, 5), torch.randn(2, 4, 6, 6)) for _ in range(num_outputs)]


def config(**fields: object) -> SegVitConfig:
    return SegVitConfig(num_labels=4, **fields)


@pytest.mark.parametrize(("supervised", "names"), [(None, ["", "_0", "_1"]), (2, ["", "_0"]), (1, [""])])
def test_only_supervised_outputs_get_a_loss(supervised: int | None, names: list[str]) -> None:
    losses = segvit_losses(
        config(num_supervised_outputs=supervised), [random_outputs()], torch.zeros(2, 24, 24).long()
    )
    assert set(losses) == {f"loss_{part}{name}" for part in ("ce", "mask", "dice") for name in names}


def test_a_batch_without_any_class_has_a_finite_loss_and_gradients() -> None:
    (class_logits, mask_logits) = random_outputs(1)[0]
    class_logits.requires_grad_(), mask_logits.requires_grad_()
    losses = segvit_losses(config(), [[(class_logits, mask_logits)]], torch.full((2, 24, 24), 255))
    sum(losses.values()).backward()
    assert losses["loss_mask"] == losses["loss_dice"] == 0
    assert class_logits.grad.isfinite().all()
    assert class_logits.grad.any()
    assert not mask_logits.grad.any()


def test_a_perfect_prediction_has_almost_no_loss() -> None:
    labels = torch.zeros(1, 24, 24).long()
    labels[:, 12:] = 1
    class_logits = torch.full((1, 4, 5), -20.0)
    for query, target in enumerate([0, 1, 4, 4]):
        class_logits[0, query, target] = 20.0
    masks = torch.stack([labels == 0, labels == 1, labels == 2, labels == 3], 1).float() * 40 - 20
    losses = segvit_losses(config(), [[(class_logits, masks)]], labels)
    assert all(loss < 1e-3 for loss in losses.values())
