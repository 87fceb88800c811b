"""Every released ViT-Adapter checkpoint fits, name by name and shape by shape; variants of the files are read."""

import re

import pytest
import torch

from segvit_hf.conversion import ConversionError, convert_checkpoint
from segvit_hf.conversion.families import FAMILIES
from segvit_hf.conversion.mmseg.test_pipeline import image_processor_arguments
from tests.models.vit_adapter.reference_models import convert, state_dict_of
from tests.reference import load_case


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


def test_weights_of_the_other_decoder_are_refused() -> None:
    upernet, mask2former = (load_case("vit_adapter", f"tiny-{name}-beit") for name in ("upernet", "mask2former"))
    with pytest.raises(ConversionError, match="head is upernet, the weights' head is mask2former"):
        convert_checkpoint("vit_adapter", state_dict_of(mask2former), {"model": upernet.arch})


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("backbone", "window_attn", [True, False, False, False]),
        ("backbone", "interaction_indexes", [[0, 0], [1, 1], [2, 2]]),
        ("backbone", "with_cffn", False),
        ("decode_head", "align_corners", True),
        ("auxiliary_head", "concat_input", True),
        ("decode_head", "unheard_of", 1),
    ],
)
def test_settings_that_are_not_supported_are_named(section: str, field: str, value: object) -> None:
    arch = load_case("vit_adapter", "tiny-upernet-vit").arch
    changed = {**arch, section: {**arch[section], field: value}}
    with pytest.raises(ConversionError, match=rf"model\.{section}.*{re.escape(field)}"):
        FAMILIES["vit_adapter"].config_from_original({"model": changed})


def test_multi_scale_pipelines_become_fields_of_the_image_processor() -> None:
    def arguments(*transforms: dict[str, object]) -> dict[str, object]:
        step = {"type": "MultiScaleFlipAug", "img_scale": [3584, 896], "flip": True, "transforms": list(transforms)}
        return image_processor_arguments([{"type": "LoadImageFromFile"}, step])

    resize = {"type": "Resize", "keep_ratio": True}
    padded = arguments(resize, {"type": "ResizeToMultiple", "size_divisor": 32}, {"type": "PadShortSide", "size": 896})
    assert (padded["size_divisor"], padded["minimum_padded_size"]) == (32, 896)
    setr = arguments({"type": "SETR_Resize", "keep_ratio": True, "crop_size": [640, 640], "setr_multi_scale": True})
    assert setr["minimum_short_edge"] == 640
