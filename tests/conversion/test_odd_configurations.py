"""Configurations that make no sense are refused with the field, what was expected and what was found."""

import copy
import time
from pathlib import Path
from typing import Any

import pytest

from segvit_hf.conversion import ConversionError, convert_checkpoint
from segvit_hf.conversion.families import FAMILIES
from segvit_hf.conversion.reading.original_configuration import read_original_configuration
from segvit_hf.conversion.reading.plain_yaml import read_plain_yaml
from tests.hostile.configurations import with_value
from tests.reference import load_case

NAN = float("nan")


def segmenter(place: str, value: Any) -> None:
    case = load_case("segmenter", "tiny-mask")
    original = with_value(copy.deepcopy(case.meta["variant"]), place, value)
    convert_checkpoint("segmenter", case.state_dict(), original)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("net_kwargs.n_heads", -2, r"net_kwargs\.n_heads: expected a whole number from 1 .*found -2"),
        ("net_kwargs.n_heads", True, r"net_kwargs\.n_heads: expected a whole number, found True"),
        ("net_kwargs.n_layers", 10**6, r"net_kwargs\.n_layers: expected a whole number from 1 to 1000, found 1000000"),
        ("net_kwargs.n_layers", 900, "900 layers in the encoder .* there are only"),
        ("net_kwargs.d_model", 10**9, r"net_kwargs\.d_model"),
        ("net_kwargs.n_cls", 10**9, r"net_kwargs\.n_cls"),
        ("net_kwargs.patch_size", 0, r"net_kwargs\.patch_size"),
        ("net_kwargs.image_size", [64, 0], r"net_kwargs\.image_size: expected one or two whole numbers"),
        ("net_kwargs.dropout", NAN, r"net_kwargs\.dropout: expected a number from 0 to below 1, found nan"),
        ("net_kwargs.drop_path_rate", -1, r"net_kwargs\.drop_path_rate"),
        ("net_kwargs.\x1b[2J", "\n", r"does not know: '\\x1b\[2J' = '\\n'"),
        ("dataset_kwargs.image_size", 0, r"dataset_kwargs\.image_size: expected a whole number from 1"),
        ("dataset_kwargs.dataset", [], r"dataset_kwargs\.dataset: expected a name, found \[\]"),
        ("dataset_kwargs.dataset", ["x"], r"dataset_kwargs\.dataset: expected a name, found \['x'\]"),
        ("reduce_zero_label", "false", "reduce_zero_label: expected true or false, found 'false'"),
        ("classes", "abcdefg", "classes: expected a list of 7 names, found 'abcdefg'"),
        ("classes", {"a": 1}, "classes: expected a list of 7 names"),
        ("classes", [None] * 7, "classes: expected names of .* found None"),
        ("classes", ["a", "a", *"bcdef"], "classes: expected every name once, found several of 'a'"),
        ("classes", ["\x1b[2J\n", *"bcdefg"], r"classes: expected names of .* found '\\x1b\[2J\\n'"),
        ("palette", 5, "palette: expected 7 colors .* found 5"),
        ("palette", [[300, -1, 0]] * 7, r"palette: expected three whole numbers from 0 to 255 .*\[300, -1, 0\]"),
        ("palette", [[0.5, 0, 0]] * 7, "palette: expected three whole numbers"),
    ],
)
def test_segmenters_configuration(place: str, value: Any, message: str) -> None:
    start = time.monotonic()
    with pytest.raises(ConversionError, match=message) as error:
        segmenter(place, value)
    assert time.monotonic() - start < 5
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("model.backbone.norm_cfg.eps", NAN, r"backbone\.norm_cfg\.eps: expected a number above 0 .*found nan"),
        ("model.backbone.num_heads", -1, r"backbone\.num_heads"),
        ("model.backbone.mlp_ratio", 0, r"backbone\.mlp_ratio"),
        ("model.backbone.out_indices", "x", r"backbone\.out_indices: expected whole numbers, found 'x'"),
        ("model.decode_head.loss_decode.mask_weight", NAN, r"loss_decode\.mask_weight: expected a number from 0"),
        ("model.test_cfg", {"mode": "slide", "crop_size": [0, 64], "stride": 1}, r"test_cfg\.crop_size"),
        ("test_pipeline", [{"type": ["x"]}], r"test_pipeline\[0\]: the step \['x'\] is not supported"),
    ],
)
def test_mmsegmentations_configuration(place: str, value: Any, message: str) -> None:
    case = load_case("segvit", "tiny-atm1")
    with pytest.raises(ConversionError, match=message):
        convert_checkpoint("segvit", case.state_dict(), with_value({"model": copy.deepcopy(case.arch)}, place, value))


@pytest.mark.parametrize("name", ["mean", "std"])
@pytest.mark.parametrize("value", [NAN, float("inf"), "x", True])
def test_normalization_that_makes_no_sense(name: str, value: Any) -> None:
    normalize = {"type": "Normalize", "mean": [1.0, 2.0, 3.0], "std": [1.0, 1.0, 1.0], "to_rgb": True}
    normalize[name] = [1.0, 1.0, value]
    step = {"type": "MultiScaleFlipAug", "img_scale": [64, 64], "transforms": [normalize]}
    original = {"model": load_case("segvit", "tiny-atm1").arch, "test_pipeline": [step]}
    with pytest.raises(ConversionError, match=rf"transforms\[0\]\.{name}: expected three numbers"):
        FAMILIES["segvit"].image_processor_from_original(original)


def test_an_absent_drop_rate_is_that_of_setrs_constructor() -> None:
    original = {"model": copy.deepcopy(load_case("setr", "tiny-pup").arch)}
    original["model"]["backbone"].pop("drop_rate", None)
    assert FAMILIES["setr"].config_from_original(original).hidden_dropout_prob == 0.1


def test_a_repeated_value_of_yaml_may_be_written_once(tmp_path: Path) -> None:
    (tmp_path / "variant.yml").write_text("a: &size [512, 512]\nb: *size\n")
    assert read_plain_yaml(tmp_path / "variant.yml") == {"a": [512, 512], "b": [512, 512]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 28)),
            "more than 20000",
        ),
        ("a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 100)), "more than 30 deep"),
        ("a: &a [*a]", "hold themselves"),
        ("a: " + "[" * 5000, "more than 30 deep"),
        ("a: 1" + "0" * 5000, "a whole number of 5001 digits"),
        ("a: 2001-99-99", "month must be in 1..12"),
        ("a: 1\n" * 60_000, "of at most 262144 bytes"),
    ],
)
def test_yaml_without_end(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "variant.yml").write_text(text)
    with pytest.raises(ConversionError, match=message) as error:
        read_plain_yaml(tmp_path / "variant.yml")
    assert len(str(error.value)) < 600


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested too deep"),
        ('{"model": 1' + "0" * 100_000 + "}", "whole numbers of at most 18 digits"),
        ('{"model": {}, "model": {}}', "expected every key once, found 'model' twice"),
    ],
)
def test_json_without_end(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "original.json").write_text(text)
    with pytest.raises(ConversionError, match=message) as error:
        read_original_configuration(tmp_path / "original.json")
    assert len(str(error.value)) < 600
