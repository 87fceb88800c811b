"""Segmenter equals the original implementation on every recorded case."""

import pytest
import torch

from segvit_hf import segment
from segvit_hf.conversion import ConvertedCheckpoint, convert_checkpoint
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

TRAINING_CASES = case_names("segmenter", "tiny-*-train*")
ATTENTION_CASES = case_names("segmenter", "tiny-*-attention")
INFERENCE_CASES = [name for name in case_names("segmenter", "tiny-*") if name not in TRAINING_CASES]


def convert(case: ReferenceCase) -> ConvertedCheckpoint:
    return convert_checkpoint("segmenter", case.state_dict(), case.meta["variant"])


@pytest.mark.parametrize("attn_implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("name", INFERENCE_CASES)
def test_logits_and_features_equal_the_original(name: str, attn_implementation: str) -> None:
    case = load_case("segmenter", name)
    model = convert(case).model
    model.set_attn_implementation(attn_implementation)
    model.config.sliding_window = None  # the recorded logits are those of the whole input
    pixel_values = case.pixel_values()
    with torch.no_grad():
        assert_close_to_reference(model(pixel_values).logits, case, "logits")
        assert_close_to_reference(model.encoder(pixel_values).last_hidden_state, case, "encoder")


@pytest.mark.parametrize("attn_implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("name", ATTENTION_CASES)
def test_attentions_equal_the_original(name: str, attn_implementation: str) -> None:
    case = load_case("segmenter", name)
    model = convert(case).model
    model.set_attn_implementation(attn_implementation)
    with torch.no_grad():
        output = model(case.pixel_values(), output_attentions=True)
    attentions = {"encoder": output.attentions, "decoder": output.decoder_attentions}
    for record in case.meta["attention"]:
        part, layer = record["of"], record["layer_id"]
        assert_close_to_reference(attentions[part][layer], case, f"attention.{part}.{layer}")


@pytest.mark.parametrize("name", TRAINING_CASES)
def test_losses_and_gradients_equal_the_original(name: str) -> None:
    case = load_case("segmenter", name)
    converted = convert(case)
    converted.model.config.sliding_window = None
    output = converted.model(case.pixel_values(), labels=case.labels())
    assert_losses_match(output.losses, case.meta["losses"])
    assert_losses_match({"total": output.loss}, {"total": case.meta["total"]})
    assert_close_to_reference(output.logits, case, "logits")
    output.loss.backward()
    assert_gradient_norms_match(gradient_norms(case, converted.model, converted.report), case)


@pytest.mark.parametrize("name", case_names("segmenter", "e2e-*"))
def test_the_label_map_of_a_photo_equals_the_original(name: str) -> None:
    case = load_case("segmenter", name)
    converted = convert(case)
    protocol, image_processor = case.meta["protocol"], converted.image_processor
    window = converted.model.config.sliding_window
    assert window["crop_size"] == [protocol["window_size"]] * 2
    assert window["stride"] == [protocol["window_stride"]] * 2
    assert not image_processor.do_resize  # what the conversion gives is segm/inference.py
    if protocol["kind"] == "segm/eval/miou.py":
        image_processor.do_resize = True
        image_processor.size = {
            "shortest_edge": protocol["im_size"],
            "longest_edge": protocol["max_ratio"] * protocol["im_size"],
        }
    assert_label_map_matches(segment(converted.model, image_processor, case.photo()), case)
