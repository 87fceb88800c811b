"""HLG equals the reconstructed original on every recorded case."""

from dataclasses import replace

import pytest
import torch

from segvit_hf import HlgForImageClassification, HlgForObjectDetection, HlgForSemanticSegmentation, segment
from segvit_hf.architectures import get_architecture
from segvit_hf.conversion.convert import match_weights
from segvit_hf.conversion.families import FAMILIES
from tests.models.hlg.reference_models import convert, original_of
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

TINY_SEGMENTATION = case_names("hlg", "tiny-seg*")
# The gradients that were recorded of this case are wrong from the last batch norm of stage 3 on: torch's backward of
# batch norm in eval mode mistakes the strides of a single image that the original has transposed. Differences of the
# recorded loss contradict them (the test below), and those of two images, `tiny-seg`, are right.
ONE_IMAGE = "tiny-seg-rect"
WRONG_GRADIENTS = ("backbone.s0_conv", "backbone.block1", "backbone.block2", "backbone.block3", "backbone.norm_out")


def assert_tables_match(model: torch.nn.Module, case: ReferenceCase) -> None:
    """The bias of every offset, at the size of the grid that the original computed it for."""
    recorded = [name for name in case.meta["outputs"] if name.endswith(".table")]
    assert recorded
    grids = {name: tuple(_grid(case, name)) for name in recorded}
    for name in recorded:
        module = model.get_submodule(_our_name(name.removesuffix(".table")))
        assert_close_to_reference(module.table(grids[name]).t(), case, name)


def _our_name(name: str) -> str:
    parts = name.removeprefix("backbone.").split(".")
    if parts[0] == "decode_head":
        return f"decoder.layers.{parts[2]}.attention.position_bias"
    return f"encoder.stages.{int(parts[0][5:]) - 1}.{parts[1]}.attention.{parts[2].removeprefix('pos_')}_bias"


def _grid(case: ReferenceCase, name: str) -> list[int]:
    """The grid of a table: that of its stage, or the window's."""
    if "pos_local" in name:
        return [7, 7]
    stage = 1 if name.startswith("decode_head") else int(name.split("block")[1][0])
    return [side // (2 * 2**stage) for side in case.meta["input_shape"][-2:]]


@pytest.mark.parametrize("attn_implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("name", TINY_SEGMENTATION)
def test_segmentation_equals_the_original(name: str, attn_implementation: str) -> None:
    case = load_case("hlg", name)
    model = convert(case).model
    assert isinstance(model, HlgForSemanticSegmentation)
    model.set_attn_implementation(attn_implementation)
    pixel_values = case.pixel_values()
    with torch.no_grad():
        assert_close_to_reference(model(pixel_values).logits, case, "logits")
        feature_maps = model.encoder(pixel_values).feature_maps
        for stage, feature_map in enumerate(feature_maps):
            assert_close_to_reference(feature_map, case, f"backbone_out.{stage}")
        assert_close_to_reference(model.decoder.classify(feature_maps), case, "head_out")
        assert_close_to_reference(model.auxiliary_head.classify(feature_maps), case, "aux.logits")
    assert_tables_match(model, case)


@pytest.mark.parametrize("name", TINY_SEGMENTATION)
def test_segmentation_losses_and_gradients_equal_the_original(name: str) -> None:
    case = load_case("hlg", name)
    converted = convert(case)
    output = converted.model(case.pixel_values(), labels=case.labels())
    recorded = {key: value for key, value in case.meta["losses"].items() if "loss" in key}
    assert_losses_match({"loss": output.loss, **output.losses}, recorded)
    output.loss.backward()
    if name == ONE_IMAGE:
        norms = {key: norm for key, norm in case.meta["grad_norms"].items() if not key.startswith(WRONG_GRADIENTS)}
        case = replace(case, meta={**case.meta, "grad_norms": norms})
    assert_gradient_norms_match(gradient_norms(case, converted.model, converted.report), case)


@pytest.mark.parametrize("key", ["backbone.norm_out_1.weight", "backbone.block1.0.down_proj.proj.0.weight"])
def test_gradients_of_a_single_image_are_those_of_its_loss(key: str) -> None:
    """What stands in for the recorded gradients that are wrong."""
    case = load_case("hlg", ONE_IMAGE)
    converted = convert(case)
    model, pixel_values, labels = converted.model, case.pixel_values(), case.labels()
    parameter = model.get_parameter(converted.report[key])
    model(pixel_values, labels=labels).loss.backward()
    direction = parameter.grad / parameter.grad.norm()
    step, losses = 1e-2, []
    with torch.no_grad():
        for sign in (1, -1):
            parameter.add_(direction, alpha=sign * step)
            losses.append(model(pixel_values, labels=labels).loss)
            parameter.sub_(direction, alpha=sign * step)
    slope = (losses[0] - losses[1]) / (2 * step)
    assert slope.item() == pytest.approx(parameter.grad.norm().item(), rel=1e-2)


@pytest.mark.parametrize("attn_implementation", ["eager", "sdpa"])
def test_classification_equals_the_original(attn_implementation: str) -> None:
    case = load_case("hlg", "tiny-cls")
    converted = convert(case)
    model = converted.model
    assert isinstance(model, HlgForImageClassification)
    model.set_attn_implementation(attn_implementation)
    labels = torch.tensor(case.meta["class_labels"]["class_ids"])
    output = model(case.pixel_values(), labels=labels, output_hidden_states=True)
    assert_close_to_reference(output.logits, case, "logits")
    # The first is the stem's.
    ends = [sum(model.config.depths[: stage + 1]) for stage in range(4)]
    for stage, end in enumerate(ends):
        assert_close_to_reference(output.hidden_states[end], case, f"stage_out.{stage + 1}")
    assert_losses_match({"cross_entropy": output.loss}, {"cross_entropy": case.meta["losses"]["cross_entropy"]})
    output.loss.backward()
    assert_gradient_norms_match(gradient_norms(case, model, converted.report), case)
    assert_tables_match(model, case)


@pytest.mark.parametrize("attn_implementation", ["eager", "sdpa"])
def test_detection_equals_the_original(attn_implementation: str) -> None:
    case = load_case("hlg", "tiny-det")
    model = convert(case).model
    assert isinstance(model, HlgForObjectDetection)
    model.set_attn_implementation(attn_implementation)
    with torch.no_grad():
        feature_maps = model.encoder(case.pixel_values()).feature_maps
        levels = model.pyramid.levels(feature_maps)
        outputs = {
            "backbone_out": feature_maps,
            "fpn_out": levels,
            "cls_score": model.detector.classification.maps(levels),
            "bbox_pred": model.detector.regression.maps(levels),
        }
        output = model(case.pixel_values())
    for name, maps in outputs.items():
        for index, recorded in enumerate(maps):
            assert_close_to_reference(recorded, case, f"{name}.{index}")
    # All levels' numbers, cell by cell, nine anchors each.
    flat = [scores.unflatten(1, (9, -1)).permute(0, 3, 4, 1, 2).flatten(1, 3) for scores in outputs["cls_score"]]
    assert torch.equal(output.logits, torch.cat(flat, dim=1))


@pytest.mark.parametrize("name", case_names("hlg", "e2e-*"))
def test_the_label_map_of_a_photo_equals_the_original(name: str) -> None:
    case = load_case("hlg", name)
    converted = convert(case)
    assert_label_map_matches(segment(converted.model, converted.image_processor, case.photo()), case)


@pytest.mark.parametrize("name", case_names("hlg", "full-*"))
def test_names_and_shapes_of_full_models_fit(name: str) -> None:
    case = load_case("hlg", name)
    weights = case.meta_state_dict()
    config = FAMILIES["hlg"].config_from_original(original_of(case), weights)
    _, match = match_weights(weights, config)
    assert set(match.report) == set(weights)
    assert not [line for line in match.report.values() if line.startswith("dropped")]
    with torch.device("meta"):
        model = get_architecture("hlg").model_class(config)(config)
    assert sum(parameter.numel() for parameter in model.parameters()) == case.meta["params"]
