"""What is particular to the conversion of Segmenter: its two namings, its data sets, what it reads and refuses."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from segvit_hf import SegmenterConfig, SegmenterForSemanticSegmentation
from segvit_hf.conversion import ConversionError, convert_checkpoint, load_pretrained_encoder
from segvit_hf.conversion.families import FAMILIES
from segvit_hf.data.label_sets import get_label_set
from tests.conversion.mmseg_segmenter import mmseg_original, mmseg_state_dict
from tests.reference import load_case


def variant(name: str, **changes: Any) -> dict[str, Any]:
    content = copy.deepcopy(load_case("segmenter", name).meta["variant"])
    for path, value in changes.items():
        *sections, field = path.split("__")
        target = content
        for section in sections:
            target = target[section]
        target[field] = value
    return content


def test_the_report_says_why_classifiers_are_dropped() -> None:
    for name in ("tiny-mask", "tiny-linear-distilled"):
        case = load_case("segmenter", name)
        report = convert_checkpoint("segmenter", case.state_dict(), case.meta["variant"]).report
        assert report["encoder.head.weight"].startswith("dropped: the ImageNet classifier of the encoder")
        assert ("encoder.head_dist.bias" in report) == ("distilled" in name)


@pytest.mark.parametrize("name", ["tiny-mask", "tiny-linear"])
def test_mmsegmentations_classifier_is_the_linear_decoder_or_dropped(name: str) -> None:
    case = load_case("segmenter", name)
    report = convert_checkpoint("segmenter", mmseg_state_dict(case), mmseg_original(case)).report
    if "linear" in name:
        assert report["decode_head.conv_seg.weight"] == "decoder.head.weight"
    else:
        assert report["decode_head.conv_seg.weight"].startswith("dropped: mmsegmentation's own classifier")
        assert report["decode_head.patch_proj.weight"] == "decoder.patch_projection"


def test_mmsegmentation_resizes_to_the_input_without_cropping() -> None:
    case = load_case("segmenter", "tiny-mask-resize-pad")  # 75x101 pixels, patches of 16
    converted = convert_checkpoint("segmenter", mmseg_state_dict(case), mmseg_original(case))
    original = convert_checkpoint("segmenter", case.state_dict(), case.meta["variant"]).model
    original.config.sliding_window = None
    with torch.no_grad():
        logits = converted.model(case.pixel_values()).logits
        difference = (logits - original(case.pixel_values()).logits).abs().max()
        maps = original.decoder.similarities(original.encoder(case.pixel_values()).feature_maps[-1])
    expected = torch.nn.functional.interpolate(maps, size=(75, 101), mode="bilinear", align_corners=False)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)
    assert difference > 0.01


def test_a_data_set_brings_its_names_and_colors() -> None:
    case = load_case("segmenter", "full-seg-t-mask-16-ade20k")
    state_dict = {key: torch.zeros(()).expand(shape) for key, shape in case.shapes().items()}
    config = convert_checkpoint("segmenter", state_dict, case.meta["variant"]).model.config
    assert config.id2label[0] == "wall"
    assert config.palette[0] == [120, 120, 120]
    renamed = {**case.meta["variant"], "classes": [f"class {index}" for index in range(150)]}
    assert convert_checkpoint("segmenter", state_dict, renamed).model.config.id2label[0] == "class 0"


def test_other_class_counts_than_the_data_sets_get_no_names() -> None:
    case = load_case("segmenter", "tiny-mask")  # ade20k with 7 classes
    config = convert_checkpoint("segmenter", case.state_dict(), case.meta["variant"]).model.config
    assert config.id2label == {index: f"LABEL_{index}" for index in range(7)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"net_kwargs__n_cls": 8, "net_kwargs__decoder__n_cls": 8}, "has 8 classes, the weights have 7"),
        ({"net_kwargs__decoder__n_cls": 6}, r"variant\.net_kwargs\.decoder\.n_cls = 6 is not supported"),
        ({"net_kwargs__decoder__name": "deeplab_dec"}, r"decoder\.name = 'deeplab_dec' is not supported"),
        ({"net_kwargs__d_model": "wide"}, r"variant\.net_kwargs\.d_model: expected a whole number"),
        ({"net_kwargs__n_heads": 7}, r"hidden_size \(64\) must be a multiple of num_attention_heads \(7\)"),
        ({"net_kwargs__window": 3}, r"variant\.net_kwargs: fields that this conversion does not know: 'window' = 3"),
        ({"net_kwargs__distilled": True}, r"encoder\.dist_token"),
        ({"net_kwargs__image_size": [64, 32]}, r"encoder\.pos_embed"),
        ({"dataset_kwargs__normalization": "clip"}, r"dataset_kwargs\.normalization = 'clip' is not supported"),
        ({"inference_kwargs": {"window_size": 64}}, r"inference_kwargs: the field 'window_stride' is missing"),
    ],
)
def test_configurations_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    state_dict = load_case("segmenter", "tiny-mask").state_dict()
    with pytest.raises(ConversionError, match=message):
        convert_checkpoint("segmenter", state_dict, variant("tiny-mask", **changes))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("type", "UPerHead", r"decode_head\.type = 'UPerHead'"),
        ("norm_cfg", {"type": "LN", "eps": 1e-6}, r"norm_cfg: expected a layer norm with eps 1e-05, found 1e-06"),
        ("align_corners", True, r"decode_head\.align_corners = True"),
        ("surprise", 1, r"fields that this conversion does not know: 'surprise' = 1"),
    ],
)
def test_heads_of_mmsegmentation_that_are_not_supported_are_named(field: str, value: Any, message: str) -> None:
    case = load_case("segmenter", "tiny-mask")
    original = mmseg_original(case)
    original["model"]["decode_head"][field] = value
    with pytest.raises(ConversionError, match=message):
        convert_checkpoint("segmenter", mmseg_state_dict(case), original)


def test_distilled_imagenet_weights_start_an_encoder_of_another_size(tmp_path: Path) -> None:
    case = load_case("segmenter", "tiny-mask-distilled-resize")  # three layers, 64x64 pixels
    weights = {
        key.removeprefix("encoder."): value for key, value in case.state_dict().items() if key.startswith("encoder.")
    }
    torch.save({"model": weights}, tmp_path / "deit.pth")
    model = SegmenterForSemanticSegmentation(
        SegmenterConfig(
            image_size=96,
            hidden_size=64,
            num_hidden_layers=3,
            num_attention_heads=case.arch["encoder"]["n_heads"],
            intermediate_size=256,
            use_distillation_token=True,
        )
    )
    report = load_pretrained_encoder(model, tmp_path / "deit.pth")
    assert report["head_dist.weight"].startswith("dropped: ")
    assert report["norm.weight"] == "encoder.norm.weight"
    embeddings = model.encoder.embeddings
    assert torch.equal(embeddings.distillation_token, weights["dist_token"])
    assert torch.equal(embeddings.position_embeddings[:, :2], weights["pos_embed"][:, :2])
    grid = weights["pos_embed"][:, 2:].unflatten(1, (4, 4)).permute(0, 3, 1, 2)
    resized = torch.nn.functional.interpolate(grid, size=(6, 6), mode="bilinear").flatten(2).transpose(1, 2)
    torch.testing.assert_close(embeddings.position_embeddings[:, 2:], resized)


def test_the_number_of_decoder_layers_is_read_from_the_file() -> None:
    one_layer = load_case("segmenter", "full-seg-l-mask-16-cityscapes")
    two_layers = load_case("segmenter", "full-seg-l-mask-16-cityscapes-2layers")
    for case, count in ((one_layer, 1), (two_layers, 2)):
        config = FAMILIES["segmenter"].config_from_original(two_layers.meta["variant"], case.meta_state_dict())
        assert config.decoder_num_layers == count


# By the name in variant.yml: ids, names and colors, from mmsegmentation's mmseg/core/evaluation/class_names.py.
COLORS = {
    "ade20k": {0: ("wall", [120, 120, 120]), 1: ("building", [180, 120, 120]), 149: ("flag", [92, 0, 255])},
    "cityscapes": {0: ("road", [128, 64, 128]), 11: ("person", [220, 20, 60]), 18: ("bicycle", [119, 11, 32])},
}


@pytest.mark.parametrize(
    ("name", "data_set"),
    [("full-seg-t-mask-16-ade20k", "ade20k"), ("full-seg-l-mask-16-cityscapes", "cityscapes")],
)
def test_classes_and_colors_are_those_of_the_data_set(name: str, data_set: str) -> None:
    config = FAMILIES["segmenter"].config_from_original(variant(name))
    for index, (label, color) in COLORS[data_set].items():
        assert config.id2label[index] == label
        assert config.palette[index] == color
    assert config.palette == [list(color) for color in get_label_set(data_set).palette]
