"""The rule language of key maps, and the errors of `match_keys`."""

import pytest
import torch

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.key_mapping import (
    MAX_KEYS_SHOWN,
    Split,
    drop,
    match_keys,
    original_name,
    rename,
    rename_key,
    report_of_whole,
    split_under,
    split_weights,
    under,
)

RULES = (
    drop("old.{rest}", "no longer used"),
    *under("head.decoder_{stage+1}.", "decoder.{stage}.", [rename("linear{number}.{rest}", "fc{number}.{rest}")]),
    rename("q.weight", "queries.weight"),
)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("head.decoder_1.linear2.weight", "decoder.0.fc2.weight"),
        ("head.decoder_12.linear1.bias", "decoder.11.fc1.bias"),
        ("q.weight", "queries.weight"),
        ("old.q.weight", "dropped: no longer used"),
        ("head.decoder_0.linear1.bias", None),
        ("head.decoder_x.linear1.bias", None),
        ("qxweight", None),
        ("q.weight.more", None),
    ],
)
def test_names_follow_the_first_rule_that_fits_all_of_them(key: str, expected: str | None) -> None:
    assert rename_key(key, RULES) == expected


def test_rules_read_backwards() -> None:
    assert original_name("decoder.3.fc2.bias", RULES) == "head.decoder_4.linear2.bias"
    assert original_name("no.such.name", RULES) is None


def shapes(**named: list[int]) -> dict[str, torch.Size]:
    return {name.replace("__", "."): torch.Size(shape) for name, shape in named.items()}


def test_a_complete_match_reports_every_key() -> None:
    state_dict = {"q.weight": torch.zeros(2, 3), "old.thing": torch.zeros(1)}
    match = match_keys(state_dict, shapes(queries__weight=[2, 3]), RULES, model_name="Model")
    assert match.sources == {"queries.weight": "q.weight"}
    assert match.report == {"q.weight": "queries.weight", "old.thing": "dropped: no longer used"}


def test_errors_list_missing_unexpected_and_misshapen_keys_together() -> None:
    state_dict = {"q.weight": torch.zeros(2, 4), "stranger": torch.zeros(7)}
    expected = {**shapes(queries__weight=[2, 3]), "decoder.0.fc1.bias": torch.Size([5])}
    with pytest.raises(ConversionError) as error:
        match_keys(state_dict, expected, RULES, model_name="Model")
    message = str(error.value)
    assert "missing (1):\n  head.decoder_1.linear1.bias [5]" in message
    assert "unexpected (1):\n  stranger [7]" in message
    assert "wrong shape (1):\n  q.weight: expected [2, 3], found [2, 4]" in message


@pytest.mark.parametrize(
    ("state_dict", "what"),
    [
        ({}, "missing"),
        ({"q.weight": torch.zeros(2, 3), "stranger": torch.zeros(7)}, "unexpected"),
        ({"q.weight": torch.zeros(3, 2)}, "wrong shape"),
    ],
)
def test_each_of_them_alone_is_an_error(state_dict: dict[str, torch.Tensor], what: str) -> None:
    with pytest.raises(ConversionError, match=what):
        match_keys(state_dict, shapes(queries__weight=[2, 3]), RULES, model_name="Model")


def test_two_keys_for_one_weight_are_an_error() -> None:
    rules = (rename("a.weight", "queries.weight"), *RULES)
    state_dict = {"a.weight": torch.zeros(1), "q.weight": torch.zeros(1)}
    with pytest.raises(ConversionError, match=r"q\.weight \[1\] \(the same weight as a\.weight\)"):
        match_keys(state_dict, shapes(queries__weight=[1]), rules, model_name="Model")


def test_long_lists_are_cut_and_counted() -> None:
    state_dict = {f"stranger{index}": torch.zeros(1) for index in range(MAX_KEYS_SHOWN + 5)}
    with pytest.raises(ConversionError, match=r"unexpected \(35\):(.|\n)*and 5 more"):
        match_keys(state_dict, {}, RULES, model_name="Model")


def test_a_transposed_weight_is_of_the_wrong_shape() -> None:
    with pytest.raises(ConversionError, match=r"q\.weight: expected \[2, 3\], found \[3, 2\]"):
        match_keys({"q.weight": torch.zeros(3, 2)}, shapes(queries__weight=[2, 3]), RULES, model_name="Model")


def test_names_are_made_fit_to_be_shown() -> None:
    state_dict = {"\x1b[2J\nsegvit-hf: all fine": torch.zeros(1), "k" * 10**6: torch.zeros(1)}
    with pytest.raises(ConversionError) as error:
        match_keys(state_dict, {}, RULES, model_name="Model")
    assert r"  \x1b[2J\nsegvit-hf: all fine [1]" in str(error.value).splitlines()
    assert len(str(error.value)) < 1000


def test_a_layer_number_without_end_is_unexpected() -> None:
    with pytest.raises(ConversionError, match="unexpected"):
        match_keys({f"head.decoder_{'9' * 10_000}.linear1.bias": torch.zeros(1)}, {}, RULES, model_name="Model")


def test_tensors_are_split_by_name_into_views() -> None:
    splits = split_under("encoder.", [Split("blocks.{layer}.qkv.{rest}", ("query", "key", "value"))])
    weights = {
        "encoder.blocks.3.qkv.weight": torch.arange(12.0).view(6, 2),
        "encoder.blocks.3.qkv.bias": torch.arange(4.0),
        "blocks.3.qkv.weight": torch.arange(6.0),
        "encoder.blocks.3.qkv.scale": torch.tensor(1.0),
    }
    found = split_weights(weights, splits)
    assert list(found)[:3] == [f"encoder.blocks.3.qkv.weight[{part}]" for part in ("query", "key", "value")]
    assert list(found)[3:] == list(weights)[1:]  # no three equal parts, another place, no axis
    assert found["encoder.blocks.3.qkv.weight[key]"].tolist() == [[4.0, 5.0], [6.0, 7.0]]
    whole = weights["encoder.blocks.3.qkv.weight"].untyped_storage().data_ptr()
    assert found["encoder.blocks.3.qkv.weight[value]"].untyped_storage().data_ptr() == whole


def test_the_report_of_a_split_tensor_has_one_line() -> None:
    report = {"a[x]": "ours.x", "a[y]": "dropped: not needed", "b": "ours.b", "absent": "ours.absent"}
    assert report_of_whole(report, ["a", "b"]) == {"a": "ours.x; [y] dropped: not needed", "b": "ours.b"}
