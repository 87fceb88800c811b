"""Scores and licenses as the authors' own pages have them, copied by hand: presets and cards must agree with these."""

import pytest

from segvit_hf import get_preset, list_presets
from segvit_hf.conversion.cards import own_model_card, released_model_card
from segvit_hf.conversion.checkpoint_tables import markdown_tables

# By file: mIoU in percent at one scale, and at several with flip. From the tables in the READMEs of
# github.com/zbwxp/SegVit, github.com/rstrudel/segmenter and github.com/czczup/ViT-Adapter (segmentation/).
SCORES = {
    "ade_51.3.pth": ("51.3", "53.0"),
    "ade_54.6.pth": ("54.6", "55.2"),
    "ade_shrunk_53.9.pth": ("53.9", "55.1"),
    "COCOstuff_49.9.pth": ("49.9", "50.3"),
    "COCOstuff10k_shrunk_49.1.pth": ("49.1", "49.4"),
    "PC59cls_64.1.pth": ("64.1", "65.3"),
    "PC59cls_62.3.pth": ("62.3", "63.7"),
    "ade20k/seg_tiny_mask/checkpoint.pth": ("38.1", "38.8"),
    "ade20k/seg_small_mask/checkpoint.pth": ("45.3", "46.9"),
    "ade20k/seg_base_mask/checkpoint.pth": ("48.5", "50.0"),
    "ade20k/seg_base_patch8/checkpoint.pth": ("49.5", "50.5"),
    "ade20k/seg_base_deit_linear/checkpoint.pth": ("47.1", "48.1"),
    "ade20k/seg_base_deit_mask/checkpoint.pth": ("48.7", "50.1"),
    "ade20k/seg_large_mask_640/checkpoint.pth": ("51.8", "53.6"),
    "pascal_context/seg_large_mask/checkpoint.pth": ("58.1", "59.0"),
    "cityscapes/seg_large_mask/checkpoint.pth": ("79.1", "81.3"),
    "v0.3.1/upernet_deit_adapter_tiny_512_160_ade20k.pth.tar": ("42.6", "43.6"),
    "v0.3.1/upernet_deit_adapter_small_512_160k_ade20k.pth": ("46.2", "47.1"),
    "v0.3.1/upernet_deit_adapter_base_512_160k_ade20k.pth.tar": ("48.8", "49.7"),
    "v0.3.1/upernet_augreg_adapter_tiny_512_160_ade20k.pth.tar": ("43.9", "44.8"),
    "v0.3.1/upernet_augreg_adapter_base_512_160k_ade20k.pth.tar": ("51.9", "52.5"),
    "v0.3.1/upernet_augreg_adapter_large_512_160k_ade20k.pth.tar": ("53.4", "54.4"),
    "v0.2.1/upernet_beit_adapter_large_640_160k_ade20k.pth.tar": ("58.0", "58.4"),
    "v0.2.2/mask2former_beit_adapter_large_640_160k_ade20k.zip": ("58.3", "59.0"),
    "v0.2.0/mask2former_beit_adapter_large_896_80k_ade20k.zip": ("59.4", "60.5"),
    "v0.3.1/mask2former_beitv2_adapter_large_896_80k_ade20k.zip": ("61.2", "61.5"),
    "v0.2.3/mask2former_beit_adapter_large_896_80k_cityscapes.zip": ("84.9", "85.8"),
    # arXiv 2304.07193, Table 10 and section 7.4; arXiv 2508.10104, Table 11.
    "dinov2_vits14/dinov2_vits14_ade20k_linear_head.pth": ("44.3", "-"),
    "dinov2_vits14/dinov2_vits14_ade20k_ms_head.pth": ("-", "47.2"),
    "dinov2_vits14/dinov2_vits14_voc2012_linear_head.pth": ("81.1", "-"),
    "dinov2_vits14/dinov2_vits14_voc2012_ms_head.pth": ("-", "82.6"),
    "dinov2_vitb14/dinov2_vitb14_ade20k_linear_head.pth": ("47.3", "-"),
    "dinov2_vitb14/dinov2_vitb14_ade20k_ms_head.pth": ("-", "51.3"),
    "dinov2_vitb14/dinov2_vitb14_voc2012_linear_head.pth": ("82.5", "-"),
    "dinov2_vitb14/dinov2_vitb14_voc2012_ms_head.pth": ("-", "84.9"),
    "dinov2_vitl14/dinov2_vitl14_ade20k_linear_head.pth": ("47.7", "-"),
    "dinov2_vitl14/dinov2_vitl14_ade20k_ms_head.pth": ("-", "53.1"),
    "dinov2_vitl14/dinov2_vitl14_voc2012_linear_head.pth": ("82.1", "-"),
    "dinov2_vitl14/dinov2_vitl14_voc2012_ms_head.pth": ("-", "86.0"),
    "dinov2_vitg14/dinov2_vitg14_ade20k_linear_head.pth": ("49.0", "-"),
    "dinov2_vitg14/dinov2_vitg14_ade20k_ms_head.pth": ("-", "53.0"),
    "dinov2_vitg14/dinov2_vitg14_voc2012_linear_head.pth": ("83.0", "-"),
    "dinov2_vitg14/dinov2_vitg14_voc2012_ms_head.pth": ("-", "86.2"),
    "dinov2_vitg14/dinov2_vitg14_ade20k_m2f.pth": ("60.2", "-"),
    "dinov3_vit7b16_ade20k_m2f_head-bf307cb1.pth": ("62.6", "63.0"),
}
# By family and naming: the license's name and what a card must say of it.
LICENSES = {
    ("segvit", "original"): ("bsd-2-clause-non-commercial", "2-clause BSD license for academic, non-commercial use"),
    ("segmenter", "original"): ("mit", "code and weights under the MIT license"),
    ("setr", "original"): ("mit", "repository under the MIT license"),
    ("hlg", "original"): ("mit", "repository under the MIT license"),
    ("vit_adapter", "original"): ("apache-2.0", "code and weights under the Apache 2.0 license"),
    ("dinov2", "original"): ("apache-2.0", "code and weights under the Apache 2.0 license"),
    ("dinov3", "original"): ("dinov3-license", "stay under the DINOv3 License"),
    ("segmenter", "mmseg"): ("apache-2.0", "OpenMMLab publishes code and weights under the Apache 2.0 license"),
    ("setr", "mmseg"): ("apache-2.0", "OpenMMLab publishes code and weights under the Apache 2.0 license"),
}
PRESETS = {name: get_preset(name) for name in list_presets()}


def test_every_file_of_the_table_has_a_preset() -> None:
    assert set(SCORES) <= {preset.file for preset in PRESETS.values()}


@pytest.mark.parametrize("name", [name for name, preset in PRESETS.items() if preset.file in SCORES])
def test_scores_are_those_that_the_authors_published(name: str) -> None:
    preset = PRESETS[name]
    single_scale, multi_scale = SCORES[preset.file]
    assert preset.mean_iou == [None if score == "-" else float(score) for score in SCORES[preset.file]]
    assert f"| {preset.num_labels} | {single_scale} | {multi_scale} |" in released_model_card(preset)
    (row,) = [line for line in markdown_tables().splitlines() if line.startswith(f"| `{name}` |")]
    assert f"| {single_scale} / {multi_scale} |" in row


@pytest.mark.parametrize("name", PRESETS)
def test_licenses_are_those_of_the_authors(name: str) -> None:
    preset = PRESETS[name]
    license_name, sentence = LICENSES[preset.family, preset.naming]
    assert preset.publication.license_name == license_name
    text = released_model_card(preset)
    assert sentence in text.split("## License")[1].split("## Citation")[0]
    shown = "license: other" if preset.family in ("segvit", "dinov3") else f"license: {license_name}"
    assert shown in text.split("---\n")[1]


def test_only_segvits_card_forbids_commercial_use() -> None:
    for preset in PRESETS.values():
        assert ("non-commercial" in released_model_card(preset)) == (preset.family == "segvit")


def test_a_users_own_file_has_no_license_yet() -> None:
    text = own_model_card("segvit", "latest.pth", "Converted by hand.", "mine")
    assert "the terms of the original weights apply" in text
    assert "license: unknown" in text


def test_what_is_trained_on_dinov3_stays_under_its_license() -> None:
    text = own_model_card("dinov3", "latest.pth", "Converted by hand.", "mine")
    assert "stay under the DINOv3 License" in text
    assert "license_name: dinov3-license" in text
    assert "the terms of the original weights apply" in own_model_card("dinov2", "latest.pth", "By hand.", "mine")
