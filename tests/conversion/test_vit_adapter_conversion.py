"""Every released ViT-Adapter checkpoint fits, name by name and shape by shape; variants of the files are read."""

import re
from pathlib import PurePosixPath

import pytest
import torch

from segvit_hf.conversion import RELEASED_CHECKPOINTS, ConversionError, convert_checkpoint, get_released_checkpoint
from segvit_hf.conversion.convert import expected_shapes, match_weights
from segvit_hf.conversion.families import FAMILIES
from segvit_hf.conversion.mmseg.test_pipeline import image_processor_arguments
from segvit_hf.data.label_sets import get_label_set
from tests.models.vit_adapter.reference_models import convert, state_dict_of
from tests.reference import case_names, load_case

PRESETS = {c.name: c for c in RELEASED_CHECKPOINTS if c.family == "vit_adapter"}
# BEiTv2's files have the names and shapes of BEiT's, which the manifests were made of.
SAME_SHAPES = {
    "mask2former_beitv2_adapter_large_896_80k_ade20k": "mask2former_beit_adapter_large_896_80k_ade20k",
    "mask2former_beitv2_adapter_large_896_80k_cocostuff164k": "mask2former_beit_adapter_large_896_80k_cocostuff164k",
}


def manifest_of(file_name: str) -> str:
    """The manifest of a released file; both tiny files are spelled `160` in place of `160k`."""
    stem = PurePosixPath(file_name).name.removesuffix(".tar").rsplit(".", 1)[0]
    stem = SAME_SHAPES.get(stem, stem).replace("_512_160_", "_512_160k_")
    names = case_names("vit_adapter", f"full-{stem}*")
    assert len(names) == 1, (file_name, names)
    return names[0]


def test_every_manifest_has_a_preset() -> None:
    assert {manifest_of(preset.file_name) for preset in PRESETS.values()} == set(case_names("vit_adapter", "full-*"))
    assert len(PRESETS) == 21


@pytest.mark.parametrize("with_index_tables", [False, True])
@pytest.mark.parametrize("name", PRESETS)
def test_every_key_of_a_released_file_is_accounted_for(name: str, with_index_tables: bool) -> None:
    preset = PRESETS[name]
    case = load_case("vit_adapter", manifest_of(preset.file_name))
    state_dict = case.meta_state_dict()
    absent = set(case.meta["checkpoint"]["absent_keys"])
    if not with_index_tables:
        state_dict = {key: tensor for key, tensor in state_dict.items() if key not in absent}
    config = FAMILIES["vit_adapter"].config_from_original(preset.original)
    shapes = expected_shapes(config)
    _, match = match_weights(state_dict, config)
    assert set(match.report) == set(state_dict)
    assert set(match.sources) == set(shapes)
    dropped = {key for key, line in match.report.items() if line.startswith("dropped: ")}
    assert dropped == (absent if with_index_tables else set())


@pytest.mark.parametrize("name", PRESETS)
def test_presets_say_what_the_original_configurations_say(name: str) -> None:
    preset = PRESETS[name]
    case = load_case("vit_adapter", manifest_of(preset.file_name))
    ours, theirs = (
        FAMILIES["vit_adapter"].config_from_original(original) for original in (preset.original, {"model": case.arch})
    )
    ignored = {"id2label", "label2id", "palette"}
    drop = {key: value for key, value in ours.to_dict().items() if key not in ignored}
    assert drop == {key: value for key, value in theirs.to_dict().items() if key not in ignored}
    protocol = case.meta["protocol"]
    assert image_processor_arguments(preset.original["test_pipeline"]) == image_processor_arguments(
        protocol["test_pipeline"]
    )
    assert get_label_set(preset.label_set).reduce_zero_label == protocol["reduce_zero_label"]
    assert preset.num_labels == theirs.num_labels
    assert f"({preset.crop}, {preset.stride})" == str(
        (theirs.sliding_window["crop_size"][0], theirs.sliding_window["stride"][0])
    )


def test_old_mask2former_files_may_hold_an_unused_classifier() -> None:
    case = load_case("vit_adapter", "tiny-mask2former-beit")
    state_dict = {**state_dict_of(case), "decode_head.conv_seg.weight": torch.ones(9, 64, 1, 1)}
    report = convert_checkpoint("vit_adapter", state_dict, {"model": case.arch}).report
    assert report["decode_head.conv_seg.weight"].startswith("dropped: ")


def test_index_tables_may_be_missing() -> None:
    case = load_case("vit_adapter", "tiny-upernet-beit")
    state_dict = state_dict_of(case)
    complete = convert(case).model
    for key in case.meta["checkpoint"]["absent_keys"]:
        del state_dict[key]
    model = convert_checkpoint("vit_adapter", state_dict, {"model": case.arch}).model
    with torch.no_grad():
        assert torch.equal(model(case.pixel_values()).logits, complete(case.pixel_values()).logits)


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("backbone", "window_attn", [True, False, False, False]),
        ("backbone", "interaction_indexes", [[0, 0], [1, 1], [2, 2]]),
        ("backbone", "with_cffn", False),
        ("decode_head", "align_corners", True),
        ("decode_head", "threshold", 0.5),
        ("decode_head", "norm_cfg", {"type": "GN"}),
        ("decode_head", "loss_decode", {"type": "CrossEntropyLoss", "loss_weight": 2.0}),
        ("auxiliary_head", "sampler", {"type": "OHEMPixelSampler"}),
        ("test_cfg", "unheard_of", 1),
        ("auxiliary_head", "concat_input", True),
        ("decode_head", "unheard_of", 1),
    ],
)
def test_settings_that_are_not_supported_are_named(section: str, field: str, value: object) -> None:
    arch = load_case("vit_adapter", "tiny-upernet-vit").arch
    changed = {**arch, section: {**arch[section], field: value}}
    with pytest.raises(ConversionError, match=rf"model\.{section}.*{re.escape(field)}"):
        FAMILIES["vit_adapter"].config_from_original({"model": changed})


def test_settings_of_panoptic_inference_change_nothing() -> None:
    arch = load_case("vit_adapter", "tiny-mask2former-beit").arch
    assert FAMILIES["vit_adapter"].config_from_original({"model": arch}).sliding_window is None
    slide = {"mode": "slide", "crop_size": [96, 96], "stride": [64, 64], "panoptic_on": True, "iou_thr": 0.8}
    config = FAMILIES["vit_adapter"].config_from_original({"model": {**arch, "test_cfg": slide}})
    assert config.sliding_window == {"crop_size": [96, 96], "stride": [64, 64]}


def test_only_the_cityscapes_preset_does_without_the_second_resize() -> None:
    divisors = {
        name: FAMILIES["vit_adapter"].image_processor_from_original(preset.original).size_divisor
        for name, preset in PRESETS.items()
    }
    assert [name for name, divisor in divisors.items() if divisor is None] == [
        "vit-adapter-mask2former-beit-large-cityscapes"
    ]


def test_a_preset_is_found_by_name() -> None:
    preset = get_released_checkpoint("vit-adapter-mask2former-beit-large-ade20k-896")
    assert preset.url.endswith("/v0.2.0/mask2former_beit_adapter_large_896_80k_ade20k.zip")
