"""Any height and width is accepted, and the logits have the size of the input."""

import pytest
import torch

from tests.models.architectures import NUM_LABELS, SmallModel


@pytest.mark.parametrize("size", [(64, 64), (1, 1), (16, 96), (90, 86), (33, 200), (48, 48)])
def test_logits_have_the_size_of_the_input(any_model: SmallModel, size: tuple[int, int]) -> None:
    logits = any_model.build()(torch.randn(2, 3, *size)).logits
    assert logits.shape == (2, NUM_LABELS, *size)
    assert logits.isfinite().all()


@pytest.mark.parametrize(
    ("shape", "found"), [((3, 64, 64), "(3, 64, 64)"), ((1, 4, 64, 64), "(1, 4, 64, 64)"), ((1, 3, 0, 64), "(1, 3, 0")]
)
def test_pixel_values_of_a_wrong_shape_are_refused(any_model: SmallModel, shape: tuple[int, ...], found: str) -> None:
    with pytest.raises(ValueError, match=r"pixel_values: expected \(batch, 3, height, width\)") as error:
        any_model.build()(torch.zeros(shape))
    assert found in str(error.value)


def test_labels_of_another_size_are_refused(any_model: SmallModel) -> None:
    with pytest.raises(ValueError, match=r"labels: expected .*\(1, 64, 64\).* found \(1, 32, 32\)"):
        any_model.build()(torch.zeros(1, 3, 64, 64), labels=torch.zeros(1, 32, 32, dtype=torch.int64))


def test_labels_that_are_no_classes_are_named(any_model: SmallModel) -> None:
    labels = torch.zeros(1, 64, 64, dtype=torch.int64)
    labels[0, 0, 0], labels[0, 0, 1] = 17, 255
    with pytest.raises(ValueError, match=r"labels: expected class ids 0 to 4 .* or 255 .*found \[17\]"):
        any_model.build()(torch.zeros(1, 3, 64, 64), labels=labels)
