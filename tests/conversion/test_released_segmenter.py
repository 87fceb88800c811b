"""Every released Segmenter checkpoint: its preset, its configuration, and what becomes of every entry of its file."""

import pytest
import torch

from segvit_hf.conversion.convert import convert_checkpoint, expected_shapes, match_weights
from segvit_hf.conversion.families import FAMILIES
from segvit_hf.conversion.released_checkpoints import RELEASED_CHECKPOINTS, ReleasedCheckpoint
from segvit_hf.conversion.released_segmenter import SEGMENTER_CHECKPOINTS
from segvit_hf.conversion.released_segmenter_mmseg import SEGMENTER_MMSEG_CHECKPOINTS
from segvit_hf.data.label_sets import get_label_set
from tests.reference import case_names, load_case

SEGMENTER = FAMILIES["segmenter"]
# What the repository's configuration would give for the Cityscapes file, which has one decoder layer instead.
COUNTER_EXAMPLE = "full-seg-l-mask-16-cityscapes-2layers"
MANIFESTS = [name for name in case_names("segmenter", "full-*") if name != COUNTER_EXAMPLE]


def preset_of(manifest: str) -> ReleasedCheckpoint:
    file_name = load_case("segmenter", manifest).meta["released_file"]
    (preset,) = [checkpoint for checkpoint in SEGMENTER_CHECKPOINTS if checkpoint.file_name == file_name]
    return preset


def test_the_nine_released_files_have_presets_named_like_their_manifests() -> None:
    names = {f"segmenter-{manifest.removeprefix('full-')}": preset_of(manifest).name for manifest in MANIFESTS}
    assert len(names) == 9
    assert all(expected == found for expected, found in names.items())
    assert {checkpoint.name for checkpoint in SEGMENTER_CHECKPOINTS} == set(names)
    assert len({checkpoint.name for checkpoint in RELEASED_CHECKPOINTS}) == len(RELEASED_CHECKPOINTS)


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_presets_configuration_is_that_of_the_variant(name: str) -> None:
    variant, preset = load_case("segmenter", name).meta["variant"], preset_of(name)
    processors = [
        SEGMENTER.image_processor_from_original(original).to_dict() for original in (preset.original, variant)
    ]
    assert processors[0] == processors[1]
    config = SEGMENTER.config_from_original(preset.original)
    assert config.to_dict() == SEGMENTER.config_from_original(variant).to_dict()
    window = variant["inference_kwargs"]
    assert config.sliding_window["crop_size"] == [window["window_size"]] * 2 == [preset.crop] * 2
    assert config.sliding_window["stride"] == [window["window_stride"]] * 2 == [preset.stride] * 2
    assert config.id2label == get_label_set(preset.label_set).id2label


@pytest.mark.parametrize("name", [*MANIFESTS, COUNTER_EXAMPLE])
def test_every_entry_of_a_released_file_is_used_or_dropped_with_a_reason(name: str) -> None:
    case = load_case("segmenter", name)
    state_dict = case.meta_state_dict()
    config = SEGMENTER.config_from_original(case.meta["variant"], state_dict)
    shapes = expected_shapes(config)
    _, match = match_weights(state_dict, config)
    assert set(match.report) == set(state_dict)
    assert set(match.sources) == set(shapes)
    dropped = {key: value for key, value in match.report.items() if value.startswith("dropped: ")}
    assert set(dropped) == {key for key in state_dict if key.startswith("encoder.head")}
    assert all("ImageNet classifier" in reason for reason in dropped.values())
    num_dropped = sum(state_dict[key].numel() for key in dropped)
    assert sum(shape.numel() for shape in shapes.values()) == case.meta["params"] - num_dropped


@pytest.mark.parametrize("name", ["full-seg-t-mask-16-ade20k", "full-seg-b-deit-linear-16-ade20k"])
def test_a_full_size_file_converts_to_a_labeled_model(name: str) -> None:
    case = load_case("segmenter", name)
    # One number, seen as every weight: the whole model takes a few bytes.
    state_dict = {key: torch.zeros(()).expand(shape) for key, shape in case.shapes().items()}
    converted = convert_checkpoint("segmenter", state_dict, preset_of(name).original)
    assert converted.model.config.id2label == get_label_set("ade20k").id2label
    assert converted.model.config.sliding_window == {"crop_size": [512, 512], "stride": [512, 512]}
    assert converted.image_processor.do_reduce_labels
    assert not converted.image_processor.do_resize
    assert dict(converted.image_processor.size) == {"shortest_edge": 512, "longest_edge": 2048}
    is_deit = "deit" in name
    assert list(converted.image_processor.image_mean) == ([0.485, 0.456, 0.406] if is_deit else [0.5] * 3)
    assert list(converted.image_processor.image_std) == ([0.229, 0.224, 0.225] if is_deit else [0.5] * 3)


def test_pascal_context_has_the_class_order_of_segmenters_data() -> None:
    config = SEGMENTER.config_from_original(preset_of("full-seg-l-mask-16-pcontext").original)
    assert [config.id2label[index] for index in (0, 1, 2, 15)] == ["background", "aeroplane", "bicycle", "person"]


@pytest.mark.parametrize("checkpoint", SEGMENTER_MMSEG_CHECKPOINTS, ids=lambda checkpoint: checkpoint.name)
def test_the_presets_of_mmsegmentation_make_models(checkpoint: ReleasedCheckpoint) -> None:
    config = SEGMENTER.config_from_original(checkpoint.original)
    assert config.num_labels == 150
    assert config.layer_norm_eps == 1e-6
    assert not config.crop_padded_logits
    assert SEGMENTER.image_processor_from_original(checkpoint.original).do_resize
    if checkpoint.same_model_as is not None:
        (sibling,) = [other for other in SEGMENTER_CHECKPOINTS if other.name == checkpoint.same_model_as]
        original = SEGMENTER.config_from_original(sibling.original)
        assert expected_shapes(original) == expected_shapes(config)
