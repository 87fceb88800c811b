"""Every released SETR checkpoint: its preset, its configuration, and what becomes of every entry of its file."""

from typing import Any

import pytest
import torch

from segvit_hf.conversion import convert_checkpoint
from segvit_hf.conversion.convert import expected_shapes, match_weights
from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.families import FAMILIES
from segvit_hf.conversion.reading.download import fetch_released_file
from segvit_hf.conversion.released_checkpoints import (
    RELEASED_CHECKPOINTS,
    ReleasedCheckpoint,
    get_released_checkpoint,
    preset_for_layout,
)
from segvit_hf.conversion.released_setr import ADE20K, CITYSCAPES
from segvit_hf.conversion.released_setr_mmseg import setr_mmseg_model
from segvit_hf.data.label_sets import get_label_set
from tests.conversion.nested_values import assert_is_part_of
from tests.reference import case_names, load_case

MANIFESTS = case_names("setr", "full-*")
ROWS = [(name, row) for name in MANIFESTS for row in load_case("setr", name).meta["released"]]
PRESETS = [checkpoint for checkpoint in RELEASED_CHECKPOINTS if checkpoint.family == "setr"]
ORIGINAL_PRESETS = [preset for preset in PRESETS if preset.layout == "original"]
ZOO_PRESETS = [preset for preset in PRESETS if preset.layout == "mmseg"]
BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


def preset_of(row: dict[str, Any]) -> ReleasedCheckpoint:
    stem = row["config"].removeprefix("configs/SETR/").removesuffix(".py")
    (preset,) = [preset for preset in ORIGINAL_PRESETS if preset.file_name == f"{stem}.pth"]
    return preset


def test_every_row_of_the_originals_tables_is_a_preset() -> None:
    assert len(ROWS) == len(ORIGINAL_PRESETS) == 26
    assert {preset_of(row).name for _, row in ROWS} == {preset.name for preset in ORIGINAL_PRESETS}
    assert len(ZOO_PRESETS) == 7
    assert len({preset.name for preset in PRESETS}) == len(PRESETS)


@pytest.mark.parametrize(("name", "row"), ROWS, ids=lambda value: value if isinstance(value, str) else "")
def test_the_presets_configuration_is_the_originals(name: str, row: dict[str, Any]) -> None:
    case, preset = load_case("setr", name), preset_of(row)
    model = preset.build_original()["model"]
    # Naive-Base and Naive-DeiT have the same architecture, and one manifest.
    model["backbone"].pop("model_name")
    assert_is_part_of(model, case.arch, "model")
    assert preset.build_original()["test_pipeline"] == case.meta["test_pipeline"]
    assert str(preset.miou_single_scale) == f"{float(row['miou'])}"
    assert preset.miou_multi_scale == (None if row["miou_ms"] is None else float(row["miou_ms"]))
    assert preset.url == row["link"]
    assert preset.is_released == (row["link"] is not None)
    # What the preset leaves to defaults must have the value of the resolved configuration.
    ours = FAMILIES["setr"].config_from_original(preset.original)
    theirs = FAMILIES["setr"].config_from_original({**preset.original, "model": case.arch})
    assert ours.to_dict() == theirs.to_dict()


@pytest.mark.parametrize("name", MANIFESTS)
def test_every_entry_of_a_released_file_is_used_or_dropped_with_a_reason(name: str) -> None:
    case = load_case("setr", name)
    state_dict = case.meta_state_dict()
    config = FAMILIES["setr"].config_from_original(preset_of(case.meta["released"][0]).original)
    shapes = expected_shapes(config)
    _, match = match_weights(state_dict, config)
    assert set(match.report) == set(state_dict)
    assert set(match.sources) == set(shapes)
    dropped = {key for key, value in match.report.items() if value.startswith("dropped: ")}
    assert dropped == set(case.meta["unused_params"])
    parameters = sum(tensor.numel() for key, tensor in state_dict.items() if not key.endswith(BUFFERS))
    assert parameters == case.meta["params"]


@pytest.mark.parametrize("preset", ORIGINAL_PRESETS, ids=lambda preset: preset.name)
def test_windows_and_resizes_are_those_of_the_data_set(preset: ReleasedCheckpoint) -> None:
    config = FAMILIES["setr"].config_from_original(preset.original)
    processor = FAMILIES["setr"].image_processor_from_original(preset.original)
    crop, stride, portrait, single_scale, scaled_down = {
        "cityscapes": (768, 512, (1024, 2048), (1025, 2049), (768, 1536)),
        "ade20k": (512, 341, (683, 512), (683, 512), (683, 512)),
        "pascal_context": (480, 320, (375, 500), (520, 693), (480, 640)),
    }[preset.label_set]
    assert config.sliding_window == {"crop_size": [crop, crop], "stride": [stride, stride]}
    assert config.image_size == crop
    assert processor.get_input_geometry(*portrait).network_input == single_scale
    assert processor.for_several_views().get_input_geometry(*portrait, 0.5).network_input == scaled_down
    assert list(processor.image_mean) == [0.485, 0.456, 0.406]
    assert processor.do_reduce_labels == (preset.label_set == "ade20k")
    assert config.id2label == get_label_set(preset.label_set).id2label


def test_the_multi_scale_protocol_does_not_cap_the_long_side() -> None:
    preset = get_released_checkpoint("setr-pup-vit-l-cityscapes-80k")
    processor = FAMILIES["setr"].image_processor_from_original(preset.original)
    assert processor.get_input_geometry(1024, 2048).network_input == (1025, 2049)
    assert processor.for_several_views().get_input_geometry(1024, 2048).network_input == (1025, 2050)


@pytest.mark.parametrize("preset", ZOO_PRESETS, ids=lambda preset: preset.name)
def test_presets_of_mmsegmentations_zoo_describe_a_model(preset: ReleasedCheckpoint) -> None:
    config = FAMILIES["setr"].config_from_original(preset.original)
    shapes = expected_shapes(config)
    assert config.num_labels == preset.num_labels
    assert config.classifier_dropout == 0
    assert not any(name.endswith("convolution.bias") for name in shapes)
    assert preset.url is not None
    assert preset.url.endswith(".pth")
    assert get_released_checkpoint(str(preset.same_model_as)).layout == "original"
    assert len(config.auxiliary_in_indices) == (4 if config.decoder_type == "mla" else 3)


def test_a_full_size_file_converts_to_a_labeled_model() -> None:
    case = load_case("setr", "full-naive-base-768-cityscapes")
    # One number, seen as every weight: the whole model takes a few bytes.
    state_dict = {
        key: torch.zeros((), dtype=tensor.dtype).expand(tensor.shape) for key, tensor in case.meta_state_dict().items()
    }
    preset = get_released_checkpoint("setr-naive-deit-b-cityscapes-40k")
    converted = convert_checkpoint("setr", state_dict, preset.original)
    assert converted.model.config.id2label[0] == "road"
    assert len(converted.model.config.palette) == 19
    assert set(converted.report) == set(state_dict)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("setr-pup-deit-b-ade20k", "were never released"),
        ("setr-pup-vit-l-ade20k", "Download it by hand from https://drive.google.com/file/d/1hCeiz60ITgVPkWsrKwah8"),
    ],
)
def test_files_that_no_program_can_fetch_are_said_to_be_so(name: str, message: str) -> None:
    with pytest.raises(ConversionError, match=message):
        fetch_released_file(get_released_checkpoint(name))


def test_the_zoos_naive_auxiliary_heads_differ_between_data_sets() -> None:
    for data, num_convs in ((CITYSCAPES, 1), (ADE20K, 2)):
        heads = setr_mmseg_model("naive", data)["auxiliary_head"]
        assert [head["num_convs"] for head in heads] == [num_convs] * 3


def test_presets_of_the_zoo_are_found_by_layout() -> None:
    preset = get_released_checkpoint("setr-pup-vit-l-ade20k")
    zoo = preset_for_layout(preset, "mmseg")
    assert zoo.name == "setr-mmseg-pup-vit-l-ade20k"
    assert preset_for_layout(zoo, "original") is preset
    with pytest.raises(ConversionError, match="expected a file in the layout 'original', found 'mmseg'"):
        preset_for_layout(get_released_checkpoint("setr-pup-vit-l-pascal-context"), "mmseg")
