"""ViT-Adapter equals the original implementation on every recorded small model."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from segvit_hf import segment
from segvit_hf.models.mask_classification import semantic_inference
from segvit_hf.models.vit_adapter.loss_mask2former import GroundTruth
from tests import deterministic_fill
from tests.models.vit_adapter.reference_models import convert
from tests.reference import (
    LOSS_TOLERANCE,
    ReferenceCase,
    assert_close_to_reference,
    assert_gradient_norms_match,
    assert_label_map_matches,
    assert_losses_match,
    case_names,
    gradient_norms,
    load_case,
)

TRAINING_CASES = case_names("vit_adapter", "tiny-*-train")
INFERENCE_CASES = [name for name in case_names("vit_adapter", "tiny-*") if name not in TRAINING_CASES]
UPERNET_CASES = [name for name in INFERENCE_CASES if "upernet" in name]
MASK2FORMER_CASES = [name for name in INFERENCE_CASES if "mask2former" in name]
MATCHING_CASES = [name for name in TRAINING_CASES if "mask2former" in name]


def recorded_points(case: ReferenceCase) -> Callable[..., torch.Tensor]:
    """A stand-in for torch.rand that gives the points of the case, call by call."""
    calls = iter(case.meta.get("points", []))

    def rand(*shape: Any, device: Any = None) -> torch.Tensor:
        call = next(calls)
        shape = tuple(shape[0]) if len(shape) == 1 else shape
        assert list(shape) == call["shape"]
        values = deterministic_fill.generator(f"points.{call['k']}", case.seed).random(shape, dtype="float32")
        return torch.from_numpy(values)

    return rand


@pytest.mark.parametrize("attn_implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("name", INFERENCE_CASES)
def test_logits_and_features_equal_the_original(name: str, attn_implementation: str) -> None:
    case = load_case("vit_adapter", name)
    model = convert(case).model
    model.set_attn_implementation(attn_implementation)
    with torch.no_grad():
        assert_close_to_reference(model(case.pixel_values()).logits, case, "logits")
        feature_maps = model.encoder(case.pixel_values()).feature_maps
    for index, feature_map in enumerate(feature_maps):
        assert_close_to_reference(feature_map, case, f"features.{index}")


@pytest.mark.parametrize("name", UPERNET_CASES)
def test_the_upernet_heads_equal_the_original(name: str) -> None:
    case = load_case("vit_adapter", name)
    model = convert(case).model
    with torch.no_grad():
        feature_maps = model.encoder(case.pixel_values()).feature_maps
        assert_close_to_reference(model.decoder.classify(feature_maps), case, "head_logits")
        assert_close_to_reference(model.auxiliary_head.classify(feature_maps), case, "aux_logits")


@pytest.mark.parametrize("name", MASK2FORMER_CASES)
def test_every_prediction_of_mask2former_equals_the_original(name: str) -> None:
    case = load_case("vit_adapter", name)
    decoder = convert(case).model.decoder
    with torch.no_grad():
        feature_maps = convert(case).model.encoder(case.pixel_values()).feature_maps
        mask_features, memories = decoder.pixel_decoder(feature_maps)
        predictions = decoder.predict(feature_maps, return_auxiliary=True)
        assert_close_to_reference(semantic_inference(*predictions[-1]), case, "head_logits")
    assert_close_to_reference(mask_features, case, "mask_features")
    for index, memory in enumerate(memories):
        assert_close_to_reference(memory, case, f"memory.{index}")
    assert len(predictions) == sum(output.startswith("cls.") for output in case.meta["outputs"])
    for index, (class_logits, mask_logits) in enumerate(predictions):
        assert_close_to_reference(class_logits, case, f"cls.{index}")
        assert_close_to_reference(mask_logits, case, f"masks.{index}")


@pytest.mark.parametrize("name", TRAINING_CASES)
def test_losses_and_gradients_equal_the_original(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = load_case("vit_adapter", name)
    converted = convert(case)
    if "points" in case.meta:
        monkeypatch.setattr(torch, "rand", recorded_points(case))
    output = converted.model(case.pixel_values(), labels=case.labels())
    assert_losses_match(output.losses, {key: value for key, value in case.meta["losses"].items() if "loss" in key})
    assert_losses_match({"total": output.loss}, {"total": case.meta["loss_total"]})
    output.loss.backward()
    assert_gradient_norms_match(gradient_norms(case, converted.model, converted.report), case)


@pytest.mark.parametrize("name", MATCHING_CASES)
def test_costs_assignments_and_points_equal_the_original(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = load_case("vit_adapter", name)
    model = convert(case).model
    loss, labels = model.decoder.loss, case.labels()
    matching_cost = loss.matching_cost
    with torch.no_grad():
        predictions = model.decoder.predict(model.encoder(case.pixel_values()).feature_maps, return_auxiliary=True)
    monkeypatch.setattr(torch, "rand", recorded_points(case))
    for number, (class_logits, mask_logits) in enumerate(predictions):
        matched = []
        for image in range(len(labels)):
            class_ids = case.tensors[f"gt_labels.{image}"].to(torch.int64)
            masks = (labels[image] == class_ids[:, None, None]).float()[:, None]
            ground_truth = GroundTruth(class_ids=class_ids, masks=masks)
            costs: list[torch.Tensor] = []
            monkeypatch.setattr(loss, "matching_cost", recording(matching_cost, costs))
            queries, targets = loss.match(class_logits[image], mask_logits[image], ground_truth)
            assert_close_to_reference(costs[0], case, f"cost.{number}.{image}", LOSS_TOLERANCE)
            found = torch.zeros(len(class_logits[image]), dtype=torch.int64)
            found[queries] = targets + 1
            assert torch.equal(found, case.tensors[f"gt_inds.{number}.{image}"].to(torch.int64))
            matched.append(mask_logits[image, queries])
        points = loss.choose_points(torch.cat(matched)[:, None])
        # Equally uncertain points may come in another order.
        expected = case.tensors[f"points.{number}"]
        assert torch.equal(points.sort(dim=1).values, expected.sort(dim=1).values)


@pytest.mark.parametrize("name", case_names("vit_adapter", "e2e-*"))
def test_the_label_map_of_a_photo_equals_the_original(name: str) -> None:
    case = load_case("vit_adapter", name)
    converted = convert(case)
    test = case.meta["protocol"]["test_cfg"]
    assert converted.model.config.sliding_window == {"crop_size": test["crop_size"], "stride": test["stride"]}
    pixel_values = converted.image_processor(case.photo(), return_tensors="pt").pixel_values
    assert [list(pixel_values.shape[1:])] == case.meta["protocol"]["network_inputs"]
    assert_close_to_reference(pixel_values.mean((2, 3)), case, "input_mean")
    with torch.no_grad():
        logits = converted.model(pixel_values).logits
    size = case.meta["outputs"]["label_map"]["shape"]
    scores = torch.nn.functional.interpolate(logits, size=size, mode="bilinear", align_corners=False)
    assert_close_to_reference(scores.softmax(1).mean((0, 2, 3)), case, "mean_probabilities")
    assert_label_map_matches(segment(converted.model, converted.image_processor, case.photo()), case)


def recording(function: Callable[..., torch.Tensor], into: list[torch.Tensor]) -> Callable[..., torch.Tensor]:
    def call(*arguments: Any) -> torch.Tensor:
        into.append(function(*arguments))
        return into[-1]

    return call
