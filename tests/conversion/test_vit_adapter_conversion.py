"""Variants of ViT-Adapter's files and configurations are read, or refused by name."""

import re

import pytest
import torch

from segvit_hf.conversion import ConversionError, convert_checkpoint
from segvit_hf.conversion.families import FAMILIES
from tests.models.vit_adapter.reference_models import convert
from tests.reference import load_case


def test_old_mask2former_files_may_hold_an_unused_classifier() -> None:
    case = load_case("vit_adapter", "tiny-mask2former-beit")
    state_dict = {**case.state_dict(), "decode_head.conv_seg.weight": torch.ones(9, 64, 1, 1)}
    report = convert_checkpoint("vit_adapter", state_dict, {"model": case.arch}).report
    assert report["decode_head.conv_seg.weight"].startswith("dropped: ")


def test_index_tables_may_be_missing() -> None:
    case = load_case("vit_adapter", "tiny-upernet-beit")
    state_dict = case.state_dict()
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
