"""What conversion does for every architecture alike: which weights become a model, and which are refused and how."""

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import BitImageProcessor

from segvit_hf.conversion import ConversionError, ConvertedCheckpoint, convert_checkpoint, convert_weights
from segvit_hf.conversion.convert import expected_shapes, match_weights
from segvit_hf.conversion.families import FAMILIES
from segvit_hf.conversion.key_mapping import match_keys, rename_key, split_weights
from segvit_hf.conversion.reading.recognition import check_family, recognize_checkpoint_names
from tests.conversion.family_cases import CASES, MANIFESTS, MMSEG_SETRS, REPRESENTATIVES, FamilyCase
from tests.reference import assert_close_to_reference

HEADS = {
    case: FAMILIES[case.family].head_of(FAMILIES[case.family].config_from_original(case.original))
    for case in REPRESENTATIVES
}
# Classifiers have transformers' own.
PROCESSORS = {"classification": BitImageProcessor}
each_case = pytest.mark.parametrize("case", CASES, ids=str)
each_representative = pytest.mark.parametrize("case", REPRESENTATIVES, ids=str)


def convert(case: FamilyCase, state_dict: dict[str, torch.Tensor] | None = None) -> ConvertedCheckpoint:
    return convert_checkpoint(case.family, case.state_dict() if state_dict is None else state_dict, case.original)


@each_case
def test_every_key_becomes_a_weight_or_is_dropped_with_a_reason(case: FamilyCase) -> None:
    family, state_dict, converted = FAMILIES[case.family], case.state_dict(), convert(case)
    architecture = family.architecture_of(case.original)
    assert type(converted.model) is architecture.model_class(converted.model.config)
    assert type(converted.image_processor) is PROCESSORS.get(case.original.get("task"), architecture.image_processor)
    assert not converted.model.training
    assert {parameter.dtype for parameter in converted.model.parameters()} == {torch.float32}
    assert all(parameter.is_contiguous() for parameter in converted.model.parameters())
    assert set(converted.report) == set(state_dict)
    ours = converted.model.state_dict()
    used: dict[str, str] = {}
    transforms = family.transforms(converted.model.config, case.naming)
    for key, line in converted.report.items():
        names = line.split("; ")
        whole = state_dict[key]
        parts = (whole,) if len(names) == 1 else whole.chunk(len(names))
        for name, part in zip(names, parts, strict=True):
            if "dropped: " in name:
                continue
            assert torch.equal(ours[name], transforms.get(key, lambda tensor: tensor)(part)), key
            assert name not in used
            used[name] = key
    assert set(used) == set(ours)
    assert all(len(line) > len("dropped: ") for line in converted.report.values())


@pytest.mark.parametrize("name", ["tiny-linear-last-train", "tiny-m2f-vits"])
def test_the_report_says_what_became_of_every_part_of_a_tensor(name: str) -> None:
    case = FamilyCase("dinov3", "original", name)
    report = convert(case).report
    (key,) = [key for key in report if key.endswith("blocks.1.attn.qkv.bias")]
    layer = "encoder.backbone.model.layer.1.attention"
    assert report[key] == (
        f"{layer}.q_proj.bias; [key] dropped: multiplied by 0: keys have no bias; {layer}.v_proj.bias"
    )


def test_a_tensor_that_does_not_fall_into_parts_is_named() -> None:
    case = FamilyCase("dinov3", "original", "tiny-linear-last-train")
    state_dict = case.state_dict()
    (key,) = [key for key in state_dict if key.endswith("blocks.1.attn.qkv.weight")]
    state_dict[key] = state_dict[key][:-1]
    with pytest.raises(ConversionError, match=rf"unexpected \(1\):\n  {re.escape(key)} \[191, 64\]"):
        convert(case, state_dict)


def test_a_mask_token_may_be_missing() -> None:
    case = FamilyCase("dinov3", "original", "tiny-linear-last-train")
    state_dict = case.state_dict()
    (key,) = [key for key in state_dict if key.endswith("mask_token")]
    del state_dict[key]
    converted = convert(case, state_dict)
    assert not converted.model.encoder.backbone.embeddings.mask_token.any()
    assert set(converted.report) == set(state_dict)


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case not in MMSEG_SETRS and "logits" in case.recorded.meta["outputs"]],
    ids=str,
)
def test_the_model_computes_the_originals_logits(case: FamilyCase) -> None:
    model = convert(case).model
    model.config.sliding_window = None  # the recorded logits are those of the whole input
    with torch.no_grad():
        assert_close_to_reference(model(case.recorded.pixel_values()).logits, case.recorded, "logits")


@each_case
def test_the_names_tell_architecture_and_naming(case: FamilyCase) -> None:
    found = recognize_checkpoint_names(case.state_dict())
    assert found is not None
    assert (found.family, found.naming) == (case.family, case.naming)


@pytest.mark.parametrize("case", MANIFESTS, ids=str)
def test_every_entry_of_a_released_file_is_used_or_dropped(case: FamilyCase) -> None:
    state_dict = case.recorded.meta_state_dict()
    found = recognize_checkpoint_names(state_dict)
    assert found is not None
    assert (found.family, found.naming) == (case.family, case.naming)
    config = FAMILIES[case.family].config_from_original(case.original, state_dict)
    _, match = match_weights(state_dict, config, case.naming, case.family)
    assert set(match.report) == set(state_dict)
    assert set(match.sources) == set(expected_shapes(config))
    assert {key for key, line in match.report.items() if line.startswith("dropped: ")} == case.dropped()


@each_representative
def test_a_configuration_of_ours_gives_the_same_model(case: FamilyCase) -> None:
    family, state_dict = FAMILIES[case.family], case.state_dict()
    config = family.config_from_original(case.original, state_dict)
    image_processor = family.image_processor_from_original(case.original)
    converted, expected = convert_weights(case.family, state_dict, config, image_processor), convert(case)
    assert converted.image_processor is image_processor
    assert image_processor.to_dict() == expected.image_processor.to_dict()
    assert converted.report == expected.report
    assert converted.model.config.to_dict() == expected.model.config.to_dict()
    pixel_values = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(converted.model(pixel_values).logits, expected.model(pixel_values).logits)


def some_weight(case: FamilyCase) -> str:
    """A key of the encoder that is no vector."""
    return next(key for key in case.state_dict() if re.fullmatch(r".*(\.fc2|ffn\.layers\.1)\.weight", key))


def remove(state_dict: dict[str, torch.Tensor], key: str) -> str:
    shape = list(state_dict.pop(key).shape)
    return f"missing (1):\n  {key} {shape}"


def add(state_dict: dict[str, torch.Tensor], key: str) -> str:
    state_dict[f"{key}_extra"] = torch.zeros(2)
    return f"unexpected (1):\n  {key}_extra [2]"


def cut(state_dict: dict[str, torch.Tensor], key: str) -> str:
    shape = list(state_dict[key].shape)
    state_dict[key] = state_dict[key][1:]
    return f"wrong shape (1):\n  {key}: expected {shape}, found {[shape[0] - 1, *shape[1:]]}"


@pytest.mark.parametrize("change", [remove, add, cut])
@each_representative
def test_a_key_that_does_not_fit_is_named(
    case: FamilyCase, change: Callable[[dict[str, torch.Tensor], str], str]
) -> None:
    state_dict = case.state_dict()
    message = change(state_dict, some_weight(case))
    with pytest.raises(ConversionError, match=re.escape(message)):
        convert(case, state_dict)


@each_representative
def test_any_single_missing_key_is_named(case: FamilyCase) -> None:
    family, complete = FAMILIES[case.family], case.state_dict()
    config = family.config_from_original(case.original)
    rules, shapes = family.rules(config, case.naming), expected_shapes(config)
    complete = split_weights(complete, family.splits(case.naming))
    # One entry of every kind: layer numbers aside, the names repeat.
    needed = {re.sub(r"\d+", "N", key): key for key in complete if rename_key(key, rules) in shapes}
    for key in needed.values():
        # Not the tensors, since those that are laid out differently do not have the shapes of ours.
        present = {
            other: torch.empty(shapes[name], device="meta")
            for other in complete
            if other != key and (name := rename_key(other, rules)) in shapes
        }
        with pytest.raises(ConversionError, match=rf"missing \(1\):\n  {re.escape(key)} \["):
            match_keys(present, shapes, rules, model_name="model")
        # Nor is what is left taken for something else.
        assert family.head_of_weights(present) in (None, HEADS[case])
        check_family(case.family, present)


@each_representative
def test_another_number_of_classes_than_that_of_the_weights_is_named(case: FamilyCase) -> None:
    state_dict = case.state_dict()
    config = FAMILIES[case.family].config_from_original(case.original)
    found = config.num_labels
    config = type(config).from_dict({**config.to_dict(), "id2label": dict.fromkeys(range(found + 1), "")})
    message = f"The configuration has {found + 1} classes, the weights have {found}."
    with pytest.raises(ConversionError, match=re.escape(message)):
        convert_weights(case.family, state_dict, config, None)


@each_representative
def test_weights_of_another_architecture_are_said_to_be_so(case: FamilyCase) -> None:
    other = next(other for other in REPRESENTATIVES if other.family != case.family)
    message = f"Expected weights of family '{other.family}', this looks like .* Convert it with family '{case.family}'"
    with pytest.raises(ConversionError, match=message):
        convert_checkpoint(other.family, case.state_dict(), other.original)
    config = FAMILIES[other.family].config_from_original(other.original)
    with pytest.raises(ConversionError, match=message):
        convert_weights(other.family, case.state_dict(), config, None)


@pytest.mark.parametrize(
    ("weights", "configuration"),
    [
        (weights, configuration)
        for weights in REPRESENTATIVES
        for configuration in REPRESENTATIVES
        if (weights.family, weights.naming) == (configuration.family, configuration.naming)
        and HEADS[weights] != HEADS[configuration]
    ],
    ids=str,
)
def test_weights_of_another_head_are_said_to_be_so(weights: FamilyCase, configuration: FamilyCase) -> None:
    with pytest.raises(ConversionError, match="The configuration's head is .*, the weights' head is "):
        convert_checkpoint(weights.family, weights.state_dict(), configuration.original)


@each_representative
def test_configuration_and_weights_have_the_same_head(case: FamilyCase) -> None:
    family = FAMILIES[case.family]
    assert HEADS[case] in family.heads
    assert family.head_of_weights(case.state_dict()) == HEADS[case]


@pytest.mark.parametrize("family", ["segmenter", "setr"])
@pytest.mark.parametrize("naming", ["original", "mmseg"])
def test_configuration_and_weights_must_have_one_naming(family: str, naming: str) -> None:
    weights = next(case for case in REPRESENTATIVES if (case.family, case.naming) == (family, naming))
    other = next(case for case in REPRESENTATIVES if case.family == family and case.naming != naming)
    message = f"configuration is of the naming '{other.naming}', the names of the weights are of the naming '{naming}'"
    with pytest.raises(ConversionError, match=message):
        convert_checkpoint(family, weights.state_dict(), other.original)


@each_representative
def test_reading_leaves_the_originals_configuration_as_it_is(case: FamilyCase) -> None:
    original = case.original
    before = copy.deepcopy(original)
    FAMILIES[case.family].config_from_original(original)
    FAMILIES[case.family].image_processor_from_original(original)
    assert original == before


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("original", [{}, {"backbone": {}}, [], {"model": None}])
def test_originals_of_another_form_are_refused(family: str, original: Any) -> None:
    with pytest.raises(ConversionError, match="expected"):
        convert_checkpoint(family, {}, original)


def test_what_is_no_family_no_tensor_and_no_configuration_of_the_family_is_refused() -> None:
    case = FamilyCase("segvit", "original", "tiny-atm3")
    config = FAMILIES["segvit"].config_from_original(case.original)
    with pytest.raises(ConversionError, match="Unknown family 'unet': expected one of .*segvit"):
        convert_checkpoint("unet", {}, case.original)
    with pytest.raises(ConversionError, match="Unknown family 'unet': expected one of .*segvit"):
        convert_weights("unet", {}, config, None)
    with pytest.raises(ConversionError, match=r"state_dict\['epoch'\]: expected a tensor, found int"):
        convert_checkpoint("segvit", {"epoch": 3}, case.original)  # type: ignore[dict-item]
    with pytest.raises(ConversionError, match=r"state_dict\['epoch'\]: expected a tensor, found int"):
        convert_weights("segvit", {"epoch": 3}, config, None)  # type: ignore[dict-item]
    with pytest.raises(ConversionError, match="config: expected SetrConfig, found SegVitConfig"):
        convert_weights("setr", {}, config, None)


@pytest.mark.parametrize(
    ("keys", "description"),
    [
        (["blocks.0.attn.qkv.weight", "patch_embed.proj.weight"], "ImageNet weights of a ViT"),
        (["backbone.layers.0.attn.attn.in_proj_weight"], "a ViT of mmsegmentation without any head"),
        (["encoder.embeddings.position_embeddings"], "converted already"),
    ],
)
def test_weights_that_no_family_converts_are_recognized(keys: list[str], description: str) -> None:
    case = FamilyCase("segmenter", "original", "tiny-mask")
    with pytest.raises(ConversionError, match=rf"family '{case.family}', this looks like .*{description}"):
        convert_checkpoint(case.family, {key: torch.zeros(1) for key in keys}, case.original)


def test_a_classifier_of_mmsegmentation_beside_other_layers_is_no_segmenter() -> None:
    layers = ["backbone.layers.0.attn.attn.in_proj_weight", "decode_head.conv_seg.weight"]
    assert recognize_checkpoint_names(layers).family == "segmenter"
    for other in ("decode_head.psp_modules.0.1.conv.weight", "neck.lateral_convs.0.conv.weight"):
        assert recognize_checkpoint_names([*layers, other]) is None
