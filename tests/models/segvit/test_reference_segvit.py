"""SegViT equals the original implementation on every recorded case."""

import pytest
import torch

from segvit_hf import segment
from segvit_hf.conversion import ConvertedCheckpoint, convert_checkpoint
from segvit_hf.models.segvit.loss_segvit import segvit_losses
from tests.reference import (
    ReferenceCase,
    assert_close_to_reference,
    assert_gradient_norms_match,
    assert_label_map_matches,
    assert_losses_match,
    case_names,
    gradient_norms,
    load_case,
)

HEAD_CASES = case_names("segvit", "tiny-*-head")
TRAINING_CASES = [name for name in case_names("segvit", "tiny-*-train*") if name not in HEAD_CASES]
INFERENCE_CASES = [name for name in case_names("segvit", "tiny-*") if name not in HEAD_CASES + TRAINING_CASES]


def convert(case: ReferenceCase) -> ConvertedCheckpoint:
    original = {"model": case.arch, "test_pipeline": case.meta.get("protocol", {}).get("test_pipeline")}
    return convert_checkpoint("segvit", case.state_dict(), original)


@pytest.mark.parametrize("attn_implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("name", INFERENCE_CASES)
def test_logits_and_features_equal_the_original(name: str, attn_implementation: str) -> None:
    case = load_case("segvit", name)
    model = convert(case).model
    model.set_attn_implementation(attn_implementation)
    model.config.sliding_window = None  # the recorded logits are those of the whole input
    pixel_values = case.pixel_values()
    with torch.no_grad():
        assert_close_to_reference(model(pixel_values).logits, case, "logits")
        feature_maps = model.encoder(pixel_values).feature_maps
    for index, feature_map in enumerate(feature_maps):
        if len(case.meta["outputs"][f"backbone.{index}"]["shape"]) == 3:  # the Shrunk backbone returns tokens
            feature_map = feature_map.flatten(2).transpose(1, 2)
        assert_close_to_reference(feature_map, case, f"backbone.{index}")


@pytest.mark.parametrize("name", TRAINING_CASES)
def test_losses_and_gradients_equal_the_original(name: str) -> None:
    case = load_case("segvit", name)
    converted = convert(case)
    output = converted.model(case.pixel_values(), labels=case.labels())
    expected = {key.removeprefix("decode."): value for key, value in case.meta["losses"].items() if "loss" in key}
    assert_losses_match(output.losses, expected)
    assert_losses_match({"total": output.loss}, {"total": case.meta["total"]})
    output.loss.backward()
    assert_gradient_norms_match(gradient_norms(case, converted.model, converted.report), case)


@pytest.mark.parametrize("name", TRAINING_CASES)
def test_decoder_outputs_in_training_equal_the_original(name: str) -> None:
    case = load_case("segvit", name)
    model = convert(case).model
    decoder = model.decoder
    with torch.no_grad():
        feature_maps = model.encoder(case.pixel_values()).feature_maps
        if model.config.use_token_pyramid:
            decoder, feature_maps = decoder.atm, [decoder.token_pyramid(feature_maps)]
        predictions = decoder.predict(decoder, feature_maps, return_auxiliary=True)
    assert_decoder_outputs(predictions, case, model.config.mask_side)


@pytest.mark.parametrize("name", HEAD_CASES)
def test_training_on_a_part_of_the_tokens_equals_the_original(name: str) -> None:
    """The original's crop_train drops patches before the decoder: masks are zero there, and labels ignored."""
    case = load_case("segvit", name)
    converted = convert(case)
    model = converted.model
    tokens, kept_tokens = case.head_inputs()
    is_kept = torch.zeros(model.config.patch_grid, dtype=torch.bool)
    is_kept.flatten()[kept_tokens] = True
    # The decoder sees the tokens that are left as a map of one row.
    rows = [kept.transpose(1, 2).unsqueeze(2) for kept in tokens]
    predictions = model.decoder.predict(model.decoder, rows, return_auxiliary=True)
    predictions = [
        (class_logits, masks.new_zeros(*masks.shape[:2], *is_kept.shape).masked_scatter(is_kept, masks))
        for class_logits, masks in predictions
    ]
    assert_decoder_outputs(predictions, case, model.config.mask_side)
    is_kept_pixel = is_kept.repeat_interleave(16, 0).repeat_interleave(16, 1)
    losses = segvit_losses(model.config, [predictions], case.labels().masked_fill(~is_kept_pixel, 255))
    assert_losses_match(losses, {key: value for key, value in case.meta["losses"].items() if "loss" in key})
    sum(losses.values()).backward()
    assert_gradient_norms_match(gradient_norms(case, converted.model, converted.report), case)


def assert_decoder_outputs(
    outputs: list[tuple[torch.Tensor, torch.Tensor]], case: ReferenceCase, mask_size: int
) -> None:
    *auxiliary, (class_logits, mask_logits) = outputs
    assert_close_to_reference(class_logits, case, "pred_logits")
    mask_logits = torch.nn.functional.interpolate(mask_logits, size=(mask_size, mask_size), mode="bilinear")
    assert_close_to_reference(mask_logits, case, "pred_masks")
    for index, (class_logits, mask_logits) in enumerate(auxiliary):
        assert_close_to_reference(class_logits, case, f"aux_outputs.{index}.pred_logits")
        assert_close_to_reference(mask_logits, case, f"aux_outputs.{index}.pred_masks")


@pytest.mark.parametrize("name", case_names("segvit", "e2e-*"))
def test_the_label_map_of_a_photo_equals_the_original(name: str) -> None:
    case = load_case("segvit", name)
    converted = convert(case)
    label_map = segment(converted.model, converted.image_processor, case.photo())
    assert_label_map_matches(label_map, case)
