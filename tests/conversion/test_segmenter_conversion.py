"""`convert_checkpoint` for Segmenter: what it builds, and which weights and configurations it refuses."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from segvit_hf import SegmenterConfig, SegmenterForSemanticSegmentation, SegmenterImageProcessor
from segvit_hf.conversion import ConversionError, convert_checkpoint, load_pretrained_encoder
from tests.conversion.mmseg_segmenter import mmseg_original, mmseg_state_dict
from tests.reference import assert_close_to_reference, load_case


def variant(name: str, **changes: Any) -> dict[str, Any]:
    content = copy.deepcopy(load_case("segmenter", name).meta["variant"])
    for path, value in changes.items():
        *sections, field = path.split("__")
        target = content
        for section in sections:
            target = target[section]
        target[field] = value
    return content


@pytest.mark.parametrize("name", ["tiny-mask", "tiny-mask-distilled-resize", "tiny-linear", "tiny-linear-distilled"])
def test_the_report_says_what_became_of_every_key(name: str) -> None:
    case = load_case("segmenter", name)
    converted = convert_checkpoint("segmenter", case.state_dict(), case.meta["variant"])
    assert isinstance(converted.model, SegmenterForSemanticSegmentation)
    assert isinstance(converted.image_processor, SegmenterImageProcessor)
    used = {name for name in converted.report.values() if not name.startswith("dropped: ")}
    assert set(converted.report) == set(case.state_dict())
    assert used == set(dict(converted.model.named_parameters()))
    assert converted.report["encoder.head.weight"].startswith("dropped: the ImageNet classifier of the encoder")
    assert ("encoder.head_dist.bias" in converted.report) == ("distilled" in name)


@pytest.mark.parametrize("name", ["tiny-mask", "tiny-mask-attention", "tiny-mask-same-token-count", "tiny-linear"])
def test_mmsegmentations_layout_gives_the_same_model(name: str) -> None:
    case = load_case("segmenter", name)
    converted = convert_checkpoint("segmenter", mmseg_state_dict(case), mmseg_original(case))
    with torch.no_grad():
        assert_close_to_reference(converted.model(case.pixel_values()).logits, case, "logits")
    assert all(parameter.is_contiguous() for parameter in converted.model.parameters())
    if "linear" in name:
        assert converted.report["decode_head.conv_seg.weight"] == "decoder.head.weight"
    else:
        assert converted.report["decode_head.conv_seg.weight"].startswith("dropped: mmsegmentation's own classifier")
        assert converted.report["decode_head.patch_proj.weight"] == "decoder.patch_projection"


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
        ({"net_kwargs__n_cls": 8, "net_kwargs__decoder__n_cls": 8}, "has 8 classes .* the weights have 7"),
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


def remove_a_bias(state_dict: dict[str, torch.Tensor]) -> None:
    del state_dict["decoder.blocks.1.mlp.fc2.bias"]


def add_a_weight(state_dict: dict[str, torch.Tensor]) -> None:
    state_dict["decoder.gamma"] = torch.zeros(1)


def cut_an_embedding(state_dict: dict[str, torch.Tensor]) -> None:
    state_dict["encoder.pos_embed"] = state_dict["encoder.pos_embed"][:, 1:]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (remove_a_bias, r"decoder\.blocks\.1\.mlp\.fc2\.bias"),
        (add_a_weight, r"decoder\.gamma"),
        (cut_an_embedding, r"encoder\.pos_embed"),
    ],
)
def test_weights_that_do_not_fit_are_named(change: Callable[[dict[str, torch.Tensor]], None], message: str) -> None:
    state_dict = load_case("segmenter", "tiny-mask").state_dict()
    change(state_dict)
    with pytest.raises(ConversionError, match=message):
        convert_checkpoint("segmenter", state_dict, variant("tiny-mask"))


def test_configuration_and_weights_must_have_one_layout() -> None:
    case = load_case("segmenter", "tiny-mask")
    with pytest.raises(ConversionError, match="weights are in mmsegmentation's layout: expected .* the key 'model'"):
        convert_checkpoint("segmenter", mmseg_state_dict(case), case.meta["variant"])
    with pytest.raises(ConversionError, match=r"expected the content of its variant\.yml"):
        convert_checkpoint("segmenter", case.state_dict(), mmseg_original(case))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("type", "UPerHead", r"decode_head\.type = 'UPerHead'"),
        ("norm_cfg", {"type": "LN", "eps": 1e-6}, r"only layer norms with eps 1e-05"),
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
