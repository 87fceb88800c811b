"""What the architectures' losses share."""

import pytest
import torch
import torch.nn.functional as F

from segvit_hf.models.losses import check_labels, classes_present, cross_entropy
from tests.models.architectures import SmallModel


@pytest.mark.parametrize("wrong", [-1, 4, 254])
def test_an_unknown_id_is_named(wrong: int) -> None:
    labels = torch.tensor([[[0, 3], [255, 1]]])
    check_labels(labels, 4, 255)
    labels[0, 1, 1] = wrong
    with pytest.raises(ValueError, match=rf"found \[{wrong}\]"):
        check_labels(labels, 4, 255)


def test_classes_present_ignores_the_ignore_index() -> None:
    labels = torch.tensor([[[0, 2], [255, 2]], [[255, 255], [255, 255]]])
    assert classes_present(labels, 4, 255).tolist() == [[True, False, True, False], [False] * 4]


@pytest.mark.parametrize("avg_non_ignore", [True, False])
def test_cross_entropy_is_a_mean_over_labeled_or_over_all_pixels(avg_non_ignore: bool) -> None:
    logits, labels = torch.randn(2, 3, 4, 4), torch.randint(0, 3, (2, 4, 4))
    labels[0, :2] = 255
    labeled = labels != 255
    expected = F.cross_entropy(logits.permute(0, 2, 3, 1)[labeled], labels[labeled])
    if not avg_non_ignore:
        expected = expected * labeled.float().mean()
    torch.testing.assert_close(cross_entropy(logits, labels, 255, avg_non_ignore=avg_non_ignore), expected)


@pytest.mark.parametrize("ignore_index", [200, -100, 2])
def test_the_ignore_index_of_the_configuration_is_obeyed(any_model: SmallModel, ignore_index: int) -> None:
    """Even one that lies among the classes."""
    model = any_model.build()
    pixel_values = torch.randn(1, 3, 50, 64)
    labels = torch.tensor([0, 1, 3, 4])[torch.randint(0, 4, (1, 50, 64))]
    ignored = torch.rand(1, 50, 64) < 0.3
    with torch.no_grad():
        expected = model(pixel_values, labels=labels.masked_fill(ignored, 255)).loss
        model.config.semantic_loss_ignore_index = ignore_index
        assert torch.equal(model(pixel_values, labels=labels.masked_fill(ignored, ignore_index)).loss, expected)
