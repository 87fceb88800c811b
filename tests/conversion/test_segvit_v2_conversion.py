"""What is particular to the conversion of SegViTv2: recognition, frozen teachers, patch bias, mmsegmentation 1.x."""

import copy
from typing import Any

import pytest
import torch

from segvit_hf.conversion import ConversionError, convert_checkpoint
from segvit_hf.conversion.reading.recognition import recognize_checkpoint_names
from tests.reference import assert_close_to_reference, load_case


@pytest.mark.parametrize(
    ("name", "naming"),
    [("tiny-atmv2-3stage", "original"), ("tiny-atmv2-beit", "original"), ("tiny-atmv2-beit-mmseg", "mmseg")],
)
def test_checkpoints_are_recognized_by_their_names(name: str, naming: str) -> None:
    found = recognize_checkpoint_names(load_case("segvit", name).state_dict())
    assert found is not None
    assert (found.family, found.naming) == ("segvit", naming)


@pytest.mark.parametrize("name", ["tiny-atmv2-beit", "tiny-atmv2-beit-mmseg"])
def test_a_configuration_of_the_other_beit_is_refused(name: str) -> None:
    case, other = load_case("segvit", name), load_case("segvit", "tiny-atmv2-beit")
    if name == other.name:
        other = load_case("segvit", "tiny-atmv2-beit-mmseg")
    with pytest.raises(ConversionError, match="the names of the weights are of the naming"):
        convert_checkpoint("segvit", case.state_dict(), {"model": other.arch})


@pytest.mark.parametrize(("weights", "arch"), [("tiny-atm3", "tiny-atmv2-3stage"), ("tiny-atmv2-3stage", "tiny-atm3")])
def test_the_head_of_the_other_version_is_refused(weights: str, arch: str) -> None:
    with pytest.raises(ConversionError, match="The configuration's head is ATMHead"):
        convert_checkpoint(
            "segvit", load_case("segvit", weights).state_dict(), {"model": load_case("segvit", arch).arch}
        )


def test_frozen_teachers_are_dropped_with_a_reason() -> None:
    case = load_case("segvit", "continual-cit-step1-train")
    state_dict = case.state_dict()
    state_dict["backbone_freeze_0.cls_token"] = torch.zeros(1, 1, 48)
    converted = convert_checkpoint("segvit", state_dict, {"model": case.arch})
    teachers = {key: value for key, value in converted.report.items() if "_freeze_0." in key}
    assert len(teachers) == 161
    assert all(value.startswith("dropped: a frozen copy of the ") for value in teachers.values())
    with torch.no_grad():
        assert_close_to_reference(converted.model.eval()(case.pixel_values()).logits, case, "logits")


def test_patches_without_a_bias_stay_without() -> None:
    case = load_case("segvit", "tiny-atmv2-3stage")
    state_dict = case.state_dict()
    bias = state_dict.pop("backbone.patch_embed.projection.bias")
    model = convert_checkpoint("segvit", state_dict, {"model": case.arch}).model
    assert not model.config.patch_bias
    zero = {**state_dict, "backbone.patch_embed.projection.bias": torch.zeros_like(bias)}
    expected = convert_checkpoint("segvit", zero, {"model": case.arch}).model
    with torch.no_grad():
        torch.testing.assert_close(model(case.pixel_values()).logits, expected(case.pixel_values()).logits)


def test_version_1_always_has_a_patch_bias() -> None:
    case = load_case("segvit", "tiny-atm3")
    state_dict = case.state_dict()
    del state_dict["backbone.patch_embed.projection.bias"]
    with pytest.raises(ConversionError, match=r"missing \(1\):\n  backbone\.patch_embed\.projection\.bias"):
        convert_checkpoint("segvit", state_dict, {"model": case.arch})


def test_the_loss_of_version_2_knows_one_class() -> None:
    case = load_case("segvit", "tiny-atmv2-3stage")
    arch = copy.deepcopy(case.arch)
    arch["decode_head"]["loss_decode"]["num_classes"] = 7
    with pytest.raises(ConversionError, match=r"loss_decode\.num_classes = 7 is not supported: expected 1"):
        convert_checkpoint("segvit", case.state_dict(), {"model": arch})


def test_the_pipeline_of_mmsegmentation_1_gives_the_same_image_processor() -> None:
    case = load_case("segvit", "e2e-atmv2-coffee")
    protocol = case.meta["protocol"]
    old = convert_checkpoint(
        "segvit", case.state_dict(), {"model": case.arch, "test_pipeline": protocol["test_pipeline"]}
    )
    new_model = {**case.arch, "data_preprocessor": protocol["original"]["data_preprocessor"]}
    original = {"model": new_model, "test_pipeline": protocol["original"]["test_pipeline"]}
    new = convert_checkpoint("segvit", case.state_dict(), original)
    assert new.image_processor.to_dict() == old.image_processor.to_dict()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda steps, _: steps.append({"type": "Rotate"}), r"test_pipeline\[3\]: the step 'Rotate'"),
        (lambda steps, _: steps[1].update(scale=5), r"test_pipeline\[1\]\.scale: expected one pair"),
        (lambda _, preprocessor: preprocessor.update(bgr_to_rgb=False), "bgr_to_rgb = False is not supported"),
        (lambda _, preprocessor: preprocessor.update(mean=[1]), "mean: expected three numbers"),
    ],
)
def test_what_such_a_pipeline_cannot_say_is_named(change: Any, message: str) -> None:
    case = load_case("segvit", "e2e-atmv2-coffee")
    protocol = copy.deepcopy(case.meta["protocol"]["original"])
    change(protocol["test_pipeline"], protocol["data_preprocessor"])
    model = {**case.arch, "data_preprocessor": protocol["data_preprocessor"]}
    with pytest.raises(ConversionError, match=message):
        convert_checkpoint("segvit", case.state_dict(), {"model": model, "test_pipeline": protocol["test_pipeline"]})
