"""Inputs are normalized floating-point images, labels integers of any width; everything else is refused by name."""

from typing import Any

import numpy as np
import pytest
import torch

from segvit_hf import VitAdapterBackbone, VitAdapterConfig
from tests.models.architectures import ADAPTER, ENCODER, NUM_LABELS, SmallModel


def photos(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return (torch.rand(2, 3, 64, 64) * 100).to(dtype)


def labels(dtype: torch.dtype = torch.int64) -> torch.Tensor:
    values = torch.randint(NUM_LABELS, (2, 64, 64))
    if dtype == torch.bool:
        return values > 2
    if torch.iinfo(dtype).max >= 255:
        values[:, :8] = 255
    return values.to(dtype)


@pytest.mark.parametrize(
    "dtype", [torch.uint8, torch.int8, torch.int32, torch.int64, torch.bool, torch.complex64], ids=str
)
def test_pixel_values_that_are_no_floating_point_numbers_are_refused(
    dtype: torch.dtype, any_model: SmallModel
) -> None:
    with pytest.raises(TypeError, match=f"pixel_values: expected a tensor of floating-point .* found {dtype}"):
        any_model.build()(photos(dtype))


@pytest.mark.parametrize("value", [None, [[1.0]], np.zeros((1, 3, 64, 64), np.float32)])
def test_pixel_values_that_are_no_tensor_are_refused(value: Any, any_model: SmallModel) -> None:
    with pytest.raises(TypeError, match="pixel_values: expected a tensor"):
        any_model.build()(value)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_floating_point_images_of_any_width_are_fine(dtype: torch.dtype, any_model: SmallModel) -> None:
    pixel_values = photos(dtype)
    with torch.no_grad():
        found, expected = any_model.build()(pixel_values).logits, any_model.build()(pixel_values.float()).logits
    assert torch.equal(found, expected)


def test_the_backbone_refuses_a_photo_that_is_not_normalized() -> None:
    model = VitAdapterBackbone(VitAdapterConfig(**ENCODER, **ADAPTER)).eval()
    with pytest.raises(TypeError, match=r"pixel_values: expected a tensor of floating-point .* found torch\.uint8"):
        model(photos(torch.uint8))


@pytest.mark.parametrize(
    "dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.uint16, torch.bool], ids=str
)
def test_labels_of_any_integers_give_the_loss_of_int64(dtype: torch.dtype, any_model: SmallModel) -> None:
    model, pixel_values, narrow = any_model.build(), photos(), labels(dtype)
    losses = []
    for given in (narrow, narrow.to(torch.int64)):
        torch.manual_seed(0)  # Mask2Former's loss draws points
        with torch.no_grad():
            losses.append(model(pixel_values, labels=given).loss)
    assert losses[0].isfinite()
    assert torch.equal(*losses)


@pytest.mark.parametrize(
    "value", [labels().float(), labels().to(torch.complex64), [[1]]], ids=["float", "complex", "list"]
)
def test_labels_that_are_no_integers_are_refused(value: Any, any_model: SmallModel) -> None:
    with pytest.raises(TypeError, match="labels: expected int64, found"):
        any_model.build()(photos(), labels=value)


@pytest.mark.parametrize("num_labels", [256, 306])
def test_a_class_that_could_never_be_learned_is_refused(num_labels: int, any_model: SmallModel) -> None:
    message = f"none of the {num_labels} classes, found 255. Set another one"
    with pytest.raises(ValueError, match=message):
        any_model.build(num_labels=num_labels)


@pytest.mark.parametrize(("num_labels", "ignore_index"), [(255, 255), (256, 256), (306, 65535), (306, -1), (5, 0)])
def test_another_ignore_index_makes_any_number_of_classes_possible(
    num_labels: int, ignore_index: int, any_model: SmallModel
) -> None:
    model = any_model.build(num_labels=num_labels, semantic_loss_ignore_index=ignore_index)
    given = torch.full((2, 64, 64), num_labels - 1)
    given[:, :8] = ignore_index
    with torch.no_grad():
        output = model(photos(), labels=given)
    assert output.loss.isfinite()
    assert output.logits.shape[1] == num_labels
