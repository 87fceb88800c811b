"""Every released model: its preset is what reading the original's configuration gives, and its file converts whole."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from segvit_hf import get_preset
from segvit_hf.conversion import ConversionError, convert_weights
from segvit_hf.conversion.convert import expected_shapes, match_weights
from segvit_hf.conversion.families import FAMILIES
from segvit_hf.conversion.preset_matching import preset_for_classes, preset_for_naming
from segvit_hf.conversion.reading.download import fetch_released_file
from segvit_hf.encoders.configuration_vit import as_pair
from tests.conversion.released_manifests import (
    COUNTER_EXAMPLE,
    ORIGINAL_PRESETS,
    ORIGINALS_OF_MMSEG,
    PRESETS,
    WITHOUT_MANIFEST,
    manifest_of,
    manifests,
    original_of,
)
from tests.reference import ReferenceCase, load_case

each_preset = pytest.mark.parametrize("name", PRESETS)
each_original_preset = pytest.mark.parametrize("name", ORIGINAL_PRESETS)
# What the files hold beside weights: which entries are dropped.
DROPPED: dict[str, Callable[[ReferenceCase, str], bool]] = {
    "hlg": lambda _case, _key: False,
    "segvit": lambda _case, key: "criterion.empty_weight" in key,
    "segmenter": lambda _case, key: key.startswith("encoder.head"),
    "setr": lambda case, key: key in case.meta["unused_params"],
    "vit_adapter": lambda case, key: key in case.meta["checkpoint"]["absent_keys"],
    "dinov2": lambda _case, key: key.endswith("mask_token"),
    "dinov3": lambda _case, key: "rope_embed" in key or "local_cls_norm" in key,
}


def test_every_manifest_has_a_preset_and_every_preset_a_manifest_or_an_original() -> None:
    for family in FAMILIES:
        presets = [PRESETS[name] for name in ORIGINAL_PRESETS if PRESETS[name].family == family]
        assert {manifest_of(preset).name for preset in presets} == set(manifests(family))
    assert set(PRESETS) - set(ORIGINAL_PRESETS) == {*ORIGINALS_OF_MMSEG, WITHOUT_MANIFEST}


@each_preset
def test_a_preset_is_what_reading_the_originals_configuration_gives(name: str) -> None:
    preset, original = PRESETS[name], original_of(PRESETS[name])
    family = FAMILIES[preset.family]
    ours, theirs = preset.build_config().to_dict(), family.config_from_original(original).to_dict()
    assert as_pair(ours.pop("image_size")) == as_pair(theirs.pop("image_size"))
    assert ours == theirs
    read = family.image_processor_from_original(original)
    assert preset.build_image_processor().to_dict() == read.to_dict()


@each_original_preset
def test_every_entry_of_a_released_file_is_used_or_dropped_with_a_reason(name: str) -> None:
    preset, case = PRESETS[name], manifest_of(PRESETS[name])
    state_dict = case.meta_state_dict()
    config = preset.build_config()
    _, match = match_weights(state_dict, config, family=preset.family)
    assert set(match.report) == set(state_dict)
    assert set(match.sources) == set(expected_shapes(config))
    dropped = {key for key, line in match.report.items() if line.startswith("dropped: ")}
    assert dropped == {key for key in state_dict if DROPPED[preset.family](case, key)}


@pytest.mark.parametrize("name", [name for name in ORIGINAL_PRESETS if PRESETS[name].family == "setr"])
def test_published_scores_and_links_are_those_of_the_original_table(name: str) -> None:
    preset = PRESETS[name]
    rows = manifest_of(preset).meta["released"]
    (row,) = [row for row in rows if row["config"].endswith(f"/{preset.file.removesuffix('.pth')}.py")]
    assert preset.mean_iou == [float(row["miou"]), None if row["miou_ms"] is None else float(row["miou_ms"])]
    assert preset.url == row["link"]
    assert preset.released == (row["link"] is not None)


@pytest.mark.parametrize(
    "name",
    [
        "segvit-vit-b-ade20k",
        "segmenter-seg-b-deit-linear-16-ade20k",
        "setr-naive-deit-b-cityscapes-40k",
        "vit-adapter-upernet-deit-tiny-ade20k",
        "dinov2-multi-scale-vit-g-14-voc2012",
        "dinov3-mask2former-vit-7b-16-ade20k",
    ],
)
def test_a_full_size_file_converts_to_a_labeled_model(name: str) -> None:
    preset, case = PRESETS[name], manifest_of(PRESETS[name])
    converted = convert_weights(
        preset.family, one_number_for_all(case), preset.build_config(), preset.build_image_processor()
    )
    assert converted.model.config.id2label == preset.label_set.id2label
    assert converted.model.config.palette == [list(color) for color in preset.label_set.palette]
    assert converted.model.config.sliding_window == {"crop_size": [preset.crop] * 2, "stride": [preset.stride] * 2}
    assert set(converted.report) == set(case.meta_state_dict())


def one_number_for_all(case: ReferenceCase) -> dict[str, torch.Tensor]:
    """The released file's weights, each of them one number seen as a tensor: the whole model takes a few bytes."""
    return {
        key: torch.zeros((), dtype=tensor.dtype).expand(tensor.shape) for key, tensor in case.meta_state_dict().items()
    }


def test_segmenters_number_of_decoder_layers_is_read_from_the_file() -> None:
    preset, variant = get_preset("segmenter-seg-l-mask-16-cityscapes"), load_case("segmenter", COUNTER_EXAMPLE).meta
    family = FAMILIES["segmenter"]
    for case, count in ((manifest_of(preset), 1), (load_case("segmenter", COUNTER_EXAMPLE), 2)):
        weights = case.meta_state_dict()
        assert family.config_from_original(variant["variant"], weights).decoder_num_layers == count
        assert preset.build_config(**family.read_weights(weights)).decoder_num_layers == count


def test_segmenters_pascal_context_has_the_class_order_of_its_data() -> None:
    names = get_preset("segmenter-seg-l-mask-16-pcontext").label_set.classes
    assert [names[index] for index in (0, 1, 2, 15)] == ["background", "aeroplane", "bicycle", "person"]


@pytest.mark.parametrize("name", ORIGINALS_OF_MMSEG)
def test_a_model_of_mmsegmentations_has_the_weights_of_its_sibling(name: str) -> None:
    preset = PRESETS[name]
    if preset.same_model_as is None or preset.family == "setr":  # whose heads differ
        return
    assert expected_shapes(preset.build_config()) == expected_shapes(get_preset(preset.same_model_as).build_config())


@pytest.mark.parametrize("name", [name for name in ORIGINAL_PRESETS if PRESETS[name].family == "setr"])
def test_setrs_sizes_are_those_of_its_data_sets(name: str) -> None:
    preset = PRESETS[name]
    portrait, single_scale, scaled_down = {
        "cityscapes": ((1024, 2048), (1025, 2049), (768, 1536)),
        "ade20k": ((683, 512), (683, 512), (683, 512)),
        "pascal_context": ((375, 500), (520, 693), (480, 640)),
    }[preset.data_set.name]
    processor = preset.build_image_processor()
    assert processor.get_input_geometry(*portrait).network_input == single_scale
    assert processor.for_several_views().get_input_geometry(*portrait, 0.5).network_input == scaled_down


def test_setrs_multi_scale_protocol_does_not_cap_the_long_side() -> None:
    processor = get_preset("setr-pup-vit-l-cityscapes-80k").build_image_processor()
    assert processor.get_input_geometry(1024, 2048).network_input == (1025, 2049)
    assert processor.for_several_views().get_input_geometry(1024, 2048).network_input == (1025, 2050)


def test_a_preset_gives_way_to_its_sibling_with_the_class_count_of_the_file() -> None:
    preset = get_preset("segvit-vit-l-pascal-context")
    assert preset_for_classes(preset, 60) is preset
    assert preset_for_classes(preset, None) is preset
    assert preset_for_classes(preset, 59).name == "segvit-vit-l-pascal-context59"
    with pytest.raises(ConversionError, match=r"with 60 or 59 classes \(PC59cls_64\.1\.pth\), found 171"):
        preset_for_classes(preset, 171)


def test_a_preset_gives_way_to_its_sibling_with_the_names_of_the_file() -> None:
    preset = get_preset("setr-pup-vit-l-ade20k")
    zoo = preset_for_naming(preset, "mmseg")
    assert zoo.name == "setr-mmseg-pup-vit-l-ade20k"
    assert preset_for_naming(zoo, "original").name == preset.name
    with pytest.raises(ConversionError, match="expected a file with the naming 'original', found 'mmseg'"):
        preset_for_naming(get_preset("setr-pup-vit-l-pascal-context"), "mmseg")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("setr-pup-deit-b-ade20k", "were never released"),
        ("setr-pup-vit-l-ade20k", "Download it by hand from https://drive.google.com/file/d/1hCeiz60ITgVPkWsrKwah8"),
    ],
)
def test_files_that_no_program_can_fetch_are_said_to_be_so(name: str, message: str) -> None:
    with pytest.raises(ConversionError, match=message):
        fetch_released_file(get_preset(name))


def test_only_vit_adapters_cityscapes_preset_does_without_the_second_resize() -> None:
    presets: dict[str, Any] = {name: p for name, p in PRESETS.items() if p.family == "vit_adapter"}
    divisors = {name: preset.build_image_processor().size_divisor for name, preset in presets.items()}
    without = [name for name, divisor in divisors.items() if divisor is None]
    assert without == ["vit-adapter-mask2former-beit-large-cityscapes"]
