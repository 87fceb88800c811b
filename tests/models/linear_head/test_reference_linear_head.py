"""The linear head equals DINOv2's and DINOv3's on every recorded small model."""

import pytest
import torch

from segvit_hf.layers.resize import pad_around
from tests.models.dino_models import convert_dino, dino_cases
from tests.reference import (
    assert_close_to_reference,
    assert_gradient_norms_match,
    assert_losses_match,
    gradient_norms,
    load_case,
)

TOLERANCE = 1e-5
CASES = [*dino_cases("tiny-linear-*"), *dino_cases("tiny-ms-*")]
TRAINING_CASES = dino_cases("tiny-linear-*train")


@pytest.mark.parametrize("attn_implementation", ["eager", "sdpa"])
@pytest.mark.parametrize(("family", "name"), CASES)
def test_logits_equal_the_original(family: str, name: str, attn_implementation: str) -> None:
    case, converted = convert_dino(family, name)
    converted.model.set_attn_implementation(attn_implementation)
    with torch.no_grad():
        assert_close_to_reference(converted.model(case.pixel_values()).logits, case, "logits", TOLERANCE)


@pytest.mark.parametrize(("family", "name"), CASES)
def test_features_and_logits_of_patches_equal_the_original(family: str, name: str) -> None:
    case, converted = convert_dino(family, name)
    model = converted.model
    with torch.no_grad():
        feature_maps = model.encoder(case.pixel_values()).feature_maps
        assert_close_to_reference(model.decoder.classify(feature_maps), case, "head_logits", TOLERANCE)
    layers = case.arch.get("out_indices", case.arch["backbone"].get("out_indices"))
    for index, feature_map in zip(model.config.encoder_out_indices, feature_maps, strict=True):
        assert_close_to_reference(feature_map, case, f"feature.{layers.index(index)}", TOLERANCE)


@pytest.mark.parametrize(("family", "name"), TRAINING_CASES)
def test_the_loss_and_the_heads_gradients_equal_the_original(family: str, name: str) -> None:
    case, converted = convert_dino(family, name)
    output = converted.model(case.pixel_values(), labels=case.labels())
    assert_losses_match({"total": output.loss}, {"total": case.meta["loss_total"]})
    output.loss.backward()
    assert_gradient_norms_match(gradient_norms(case, converted.model, converted.report), case)


def test_padding_on_all_sides_is_dinov2s() -> None:
    table = load_case("dinov2", "center-padding").meta
    for side, (before, after) in table["pads"].items():
        column = torch.ones(1, 1, int(side), table["multiple"])
        padded = pad_around(column, table["multiple"])[0, 0, :, 0]
        assert padded.tolist() == [0.0] * before + [1.0] * int(side) + [0.0] * after
