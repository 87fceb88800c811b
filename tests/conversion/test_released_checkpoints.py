"""Every released SegViT checkpoint: its preset, its configuration, and what becomes of every entry of its file."""

import pytest
import torch

from segvit_hf.conversion.convert import convert_checkpoint, expected_shapes, match_weights
from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.families import FAMILIES
from segvit_hf.conversion.released_checkpoints import (
    ReleasedCheckpoint,
    get_released_checkpoint,
    preset_for_classes,
)
from segvit_hf.conversion.released_segvit import SEGVIT_CHECKPOINTS
from segvit_hf.data.label_sets import get_label_set
from tests.conversion.nested_values import assert_is_part_of
from tests.reference import ReferenceCase, case_names, load_case

MANIFESTS = case_names("segvit", "full-*")


def preset_of(case: ReferenceCase) -> ReleasedCheckpoint:
    num_classes = case.arch["decode_head"]["num_classes"]
    (preset,) = [
        checkpoint
        for checkpoint in SEGVIT_CHECKPOINTS
        if checkpoint.file_name == case.meta["released_file"] and checkpoint.num_labels == num_classes
    ]
    return preset


def test_every_manifest_has_its_preset_and_every_preset_its_manifest() -> None:
    assert sorted(preset_of(load_case("segvit", name)).name for name in MANIFESTS) == sorted(
        checkpoint.name for checkpoint in SEGVIT_CHECKPOINTS
    )


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_presets_configuration_is_the_originals(name: str) -> None:
    case = load_case("segvit", name)
    preset = preset_of(case)
    assert_is_part_of(preset.build_original()["model"], case.arch, "model")
    assert preset.build_original()["test_pipeline"] == case.meta["test_pipeline"]
    # What the preset leaves to defaults must have the value of the resolved configuration.
    labels = {key: preset.original[key] for key in ("classes", "palette", "reduce_zero_label")}
    reference = {"model": case.arch, "test_pipeline": case.meta["test_pipeline"], **labels}
    ours, theirs = (FAMILIES["segvit"].config_from_original(original) for original in (preset.original, reference))
    assert ours.to_dict() == theirs.to_dict()
    ours, theirs = (
        FAMILIES["segvit"].image_processor_from_original(original) for original in (preset.original, reference)
    )
    assert ours.to_dict() == theirs.to_dict()


@pytest.mark.parametrize("name", MANIFESTS)
def test_every_entry_of_a_released_file_is_used_or_dropped_with_a_reason(name: str) -> None:
    case = load_case("segvit", name)
    state_dict = case.meta_state_dict()
    config = FAMILIES["segvit"].config_from_original(preset_of(case).original)
    shapes = expected_shapes(config)
    _, match = match_weights(state_dict, config)
    assert set(match.report) == set(state_dict)
    assert set(match.sources) == set(shapes)
    dropped = {key for key, value in match.report.items() if value.startswith("dropped: ")}
    assert all("criterion.empty_weight" in key for key in dropped)
    used = sum(shapes[name].numel() for name in match.sources)
    assert used == case.meta["params"]


def test_a_full_size_file_converts_to_a_labeled_model() -> None:
    case = load_case("segvit", "full-vit-b-ade20k")
    # One number, seen as every weight: the whole model takes a few bytes.
    state_dict = {key: torch.zeros(()).expand(shape) for key, shape in case.shapes().items()}
    preset = preset_of(case)
    converted = convert_checkpoint(preset.family, state_dict, preset.original)
    labels = get_label_set("ade20k")
    assert converted.model.config.id2label == labels.id2label
    assert converted.model.config.sliding_window == {"crop_size": [512, 512], "stride": [341, 341]}
    assert sum(parameter.numel() for parameter in converted.model.parameters()) == case.meta["params"]
    assert converted.image_processor.do_reduce_labels
    assert list(converted.image_processor.image_std) == [0.229, 0.224, 0.225]
    assert set(converted.report) == set(state_dict)


def test_presets_with_another_class_count_of_the_same_file_are_swapped() -> None:
    preset = get_released_checkpoint("segvit-vit-l-pascal-context")
    assert preset_for_classes(preset, 60) is preset
    assert preset_for_classes(preset, 59).name == "segvit-vit-l-pascal-context59"
    with pytest.raises(ConversionError, match=r"with 60 or 59 classes \(PC59cls_64\.1\.pth\), found 171"):
        preset_for_classes(preset, 171)


def test_unknown_presets_are_answered_with_the_names() -> None:
    with pytest.raises(ConversionError, match="segvit-vit-l-shrunk-cocostuff10k"):
        get_released_checkpoint("segvit-vit-xxl")
