"""`convert_checkpoint` for the original's own SETR: what it builds, and which settings it refuses."""

import copy
from typing import Any

import pytest
import torch

from segvit_hf import SetrForSemanticSegmentation, SetrImageProcessor
from segvit_hf.conversion import ConversionError, convert_checkpoint
from segvit_hf.conversion.families import FAMILIES
from tests.reference import case_names, load_case


def changed(name: str, path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    arch = copy.deepcopy(load_case("setr", name).arch)
    *sections, field = path
    target: Any = arch
    for section in sections:
        target = target[section]
    target[field] = value
    return arch


@pytest.mark.parametrize("name", case_names("setr", "tiny-*"))
def test_every_key_is_a_weight_or_dropped_with_a_reason(name: str) -> None:
    case = load_case("setr", name)
    converted = convert_checkpoint("setr", case.state_dict(), {"model": case.arch})
    assert isinstance(converted.model, SetrForSemanticSegmentation)
    assert isinstance(converted.image_processor, SetrImageProcessor)
    assert not converted.model.training
    used = {line for line in converted.report.values() if not line.startswith("dropped: ")}
    assert used == set(converted.model.state_dict())
    dropped = {key for key, line in converted.report.items() if line.startswith("dropped: ")}
    assert dropped == set(case.meta["unused_params"])
    for key, line in converted.report.items():
        if key not in dropped:
            assert torch.equal(converted.model.state_dict()[line], case.state_dict()[key]), key


def test_levels_of_mla_are_counted_from_0() -> None:
    case = load_case("setr", "tiny-mla")
    report = convert_checkpoint("setr", case.state_dict(), {"model": case.arch}).report
    assert report["backbone.mla.mla_p2_1x1.0.weight"] == "aggregation.projections.0.convolution.weight"
    assert report["backbone.mla.mla_p5.1.running_var"] == "aggregation.convolutions.3.norm.running_var"
    assert report["decode_head.mlahead.head4.3.weight"] == "decoder.levels.2.1.convolution.weight"
    assert report["backbone.norm_3.bias"] == "aggregation.norms.3.bias"


@pytest.mark.parametrize("change", ["missing", "unexpected", "mismatched"])
def test_keys_that_do_not_fit_are_listed(change: str) -> None:
    case = load_case("setr", "tiny-pup")
    state_dict, message = case.state_dict(), "decode_head.conv_4.bias"
    if change == "missing":
        del state_dict[message]
    elif change == "unexpected":
        message = "decode_head.conv_5.weight"
        state_dict[message] = torch.zeros(1)
    else:
        state_dict[message] = torch.zeros(3)
    with pytest.raises(ConversionError, match=message.replace(".", r"\.")):
        convert_checkpoint("setr", state_dict, {"model": case.arch})


def test_the_number_of_classes_must_be_that_of_the_weights() -> None:
    case = load_case("setr", "tiny-naive")
    arch = changed("tiny-naive", ("decode_head", "num_classes"), 8)
    for head in arch["auxiliary_head"]:
        head["num_classes"] = 8
    with pytest.raises(ConversionError, match="The configuration has 8 classes, the weights have 7"):
        convert_checkpoint("setr", case.state_dict(), {"model": arch})


def test_the_test_configuration_may_stand_beside_the_model() -> None:
    case = load_case("setr", "tiny-pup")
    arch = {key: value for key, value in case.arch.items() if key != "test_cfg"}
    test_cfg = {"mode": "slide", "crop_size": [64, 64], "stride": [43, 43]}
    config = FAMILIES["setr"].config_from_original({"model": arch, "test_cfg": test_cfg})
    assert config.sliding_window == {"crop_size": [64, 64], "stride": [43, 43]}
    assert FAMILIES["setr"].config_from_original({"model": arch}).sliding_window is None


@pytest.mark.parametrize(
    ("name", "path", "value", "message"),
    [
        ("tiny-pup", ("decode_head", "num_conv"), 1, r"\(num_conv, num_upsampe_layer\) = \(1, 4\) is not supported"),
        ("tiny-pup", ("decode_head", "align_corners"), True, r"model\.decode_head\.align_corners = True"),
        ("tiny-pup", ("decode_head", "in_index"), 3, "an auxiliary head reads a deeper layer"),
        ("tiny-pup", ("decode_head", "img_size"), 128, r"model\.decode_head\.img_size = 128 is not supported"),
        ("tiny-pup", ("decode_head", "embed_dim"), 1024, r"model\.decode_head\.embed_dim = 1024 is not supported"),
        ("tiny-pup", ("auxiliary_head", 2, "num_upsampe_layer"), 1, "all auxiliary heads must be alike"),
        ("tiny-pup", ("auxiliary_head", 0, "loss_decode", "loss_weight"), 0.2, "loss_decode.loss_weight = 0.4"),
        ("tiny-pup", ("decode_head", "loss_decode", "use_sigmoid"), True, "use_sigmoid = True is not supported"),
        ("tiny-pup", ("backbone", "hybrid_backbone"), "resnet", "hybrid_backbone = 'resnet' is not supported"),
        ("tiny-naive", ("decode_head", "norm_cfg"), {"type": "GN"}, r"norm_cfg\.type = 'GN' is not supported"),
        ("tiny-mla", ("decode_head", "mla_channels"), 128, r"mla_channels = 128 is not supported: expected 256"),
        ("tiny-mla", ("auxiliary_head", 1, "in_channels"), 1024, r"auxiliary_head\[1\]\.in_channels = 1024"),
        ("tiny-mla", ("backbone", "mla_index"), [5, 4, 2, 1], "encoder_out_indices must be ascending"),
        ("tiny-mla", ("backbone", "surprise"), 1, r"does not know: 'surprise' = 1"),
    ],
)
def test_settings_that_are_not_supported_are_named(name: str, path: tuple[Any, ...], value: Any, message: str) -> None:
    with pytest.raises(ConversionError, match=message):
        FAMILIES["setr"].config_from_original({"model": changed(name, path, value)})
