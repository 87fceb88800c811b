"""What is particular to the conversion of the authors' SETR: its names, and the settings that it refuses."""

import copy
from typing import Any

import pytest

from segvit_hf.conversion import ConversionError, convert_checkpoint
from segvit_hf.conversion.families import FAMILIES
from tests.reference import load_case


def changed(name: str, path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    arch = copy.deepcopy(load_case("setr", name).arch)
    *sections, field = path
    target: Any = arch
    for section in sections:
        target = target[section]
    target[field] = value
    return arch


def test_levels_of_mla_are_counted_from_0() -> None:
    case = load_case("setr", "tiny-mla")
    report = convert_checkpoint("setr", case.state_dict(), {"model": case.arch}).report
    assert report["backbone.mla.mla_p2_1x1.0.weight"] == "aggregation.projections.0.convolution.weight"
    assert report["backbone.mla.mla_p5.1.running_var"] == "aggregation.convolutions.3.norm.running_var"
    assert report["decode_head.mlahead.head4.3.weight"] == "decoder.levels.2.1.convolution.weight"
    assert report["backbone.norm_3.bias"] == "aggregation.norms.3.bias"


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
