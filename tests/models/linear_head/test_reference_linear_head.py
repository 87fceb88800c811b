"""The linear head equals the original implementations on every recorded small model."""

import pytest
import torch

from segvit_hf.conversion import ConvertedCheckpoint, convert_checkpoint
from segvit_hf.layers.resize import pad_around
from tests.reference import (
    ReferenceCase,
    assert_close_to_reference,
    assert_gradient_norms_match,
    assert_losses_match,
    case_names,
    gradient_norms,
    load_case,
)

CASES = [(family, name) for family in ("dinov2",) for name in case_names(family, "tiny-*") if "m2f" not in name]
TRAINING_CASES = [(family, name) for family, name in CASES if name.endswith("-train")]


def convert(case: ReferenceCase) -> ConvertedCheckpoint:
    original = {"model": case.arch, "protocol": case.meta.get("protocol")}
    return convert_checkpoint(case.family, case.state_dict(), original)


@pytest.mark.parametrize("attn_implementation", ["eager", "sdpa"])
@pytest.mark.parametrize(("family", "name"), CASES)
def test_logits_equal_the_original(family: str, name: str, attn_implementation: str) -> None:
    case = load_case(family, name)
    model = convert(case).model
    model.set_attn_implementation(attn_implementation)
    model.config.sliding_window = None  # recorded for the whole input
    with torch.no_grad():
        assert_close_to_reference(model(case.pixel_values()).logits, case, "logits", 1e-5)


@pytest.mark.parametrize(("family", "name"), CASES)
def test_features_and_logits_of_patches_equal_the_original(family: str, name: str) -> None:
    case = load_case(family, name)
    model = convert(case).model
    with torch.no_grad():
        feature_maps = model.encoder(case.pixel_values()).feature_maps
        assert_close_to_reference(model.decoder.classify(feature_maps), case, "head_logits", 1e-5)
    recorded = sorted(output for output in case.meta["outputs"] if output.startswith("feature."))
    for feature_map, output in zip(reversed(feature_maps), reversed(recorded), strict=False):
        assert_close_to_reference(feature_map, case, output, 1e-5)


@pytest.mark.parametrize(("family", "name"), TRAINING_CASES)
def test_the_loss_and_the_heads_gradients_equal_the_original(family: str, name: str) -> None:
    case = load_case(family, name)
    converted = convert(case)
    converted.model.config.sliding_window = None
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
