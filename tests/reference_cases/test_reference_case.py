"""What a reference case holds, and that comparisons to it can fail."""

import numpy as np
import pytest
import torch

from tests.reference import (
    CASE_ENDING,
    FIXTURES,
    assert_close_to_reference,
    assert_gradient_norms_match,
    assert_label_map_matches,
    assert_losses_match,
    case_names,
    load_case,
)


def test_unknown_case_is_an_error_that_lists_the_cases() -> None:
    with pytest.raises(FileNotFoundError, match="tiny-atm3-pad"):
        load_case("segvit", "no-such-case")


def test_equal_cases_are_equal_files() -> None:
    # gzip's header: flags at byte 3 (8: a file name follows), the time at bytes 4 to 7.
    headers = {path: path.read_bytes()[3:8] for path in FIXTURES.glob(f"reference/*/*{CASE_ENDING}")}

    assert headers
    assert [str(path) for path, header in headers.items() if any(header)] == []


@pytest.mark.parametrize("name", case_names("segvit", "tiny-*"))
def test_state_dict_has_every_entry_of_the_original(name: str) -> None:
    case = load_case("segvit", name)

    state_dict = case.state_dict()

    assert {key: tuple(value.shape) for key, value in state_dict.items()} == case.shapes()
    assert {key: value.shape for key, value in case.meta_state_dict().items()} == {
        key: value.shape for key, value in state_dict.items()
    }


def test_class_weights_of_the_loss_keep_the_constructors_values() -> None:
    weights = load_case("segvit", "tiny-atm3").state_dict()["decode_head.loss_decode.criterion.empty_weight"]

    assert weights.tolist() == pytest.approx([1.0] * 7 + [0.1])


def test_scaled_and_replaced_weights_follow_the_fill() -> None:
    case = load_case("segvit", "e2e-atm3-coffee")
    plain = load_case("segvit", "e2e-atm3-coffee")
    plain.meta["scaled_weights"], plain.meta["replaced_weights"] = {}, {}

    state_dict, plain_state_dict = case.state_dict(), plain.state_dict()

    torch.testing.assert_close(state_dict["decode_head.q.weight"], 10 * plain_state_dict["decode_head.q.weight"])
    expected_bias = case.meta["replaced_weights"]["decode_head.class_embed.bias"]
    assert state_dict["decode_head.class_embed.bias"].tolist() == pytest.approx(expected_bias)


def test_listed_images_have_only_ignored_labels() -> None:
    labels = load_case("segvit", "tiny-atm3-train-ignored").labels()

    assert (labels[1] == 255).all()
    assert (labels[0] != 255).any()


def test_inputs_of_a_head_alone_are_its_kept_tokens() -> None:
    stages, kept_tokens = load_case("segvit", "tiny-atm3-croptrain-head").head_inputs()

    assert [tuple(stage.shape) for stage in stages] == [(2, 8, 48)] * 3
    assert kept_tokens.tolist() == [0, 3, 5, 6, 9, 10, 12, 15]


def test_photo_has_the_recorded_shape() -> None:
    case = load_case("segvit", "e2e-atm3-coffee")

    assert list(np.asarray(case.photo()).shape) == case.meta["image"]["shape"]


def test_tensors_are_compared_at_the_recorded_stride() -> None:
    case = load_case("segvit", "tiny-tpn")
    record = case.meta["outputs"]["logits"]
    assert record["stride"] == 2
    actual = torch.zeros(record["shape"])
    actual[..., ::2, ::2] = case.tensors["logits"]

    assert_close_to_reference(actual, case, "logits")

    actual[0, 0, 2, 2] += 2e-4 * record["absmax"]
    with pytest.raises(AssertionError, match="logits differs"):
        assert_close_to_reference(actual, case, "logits")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_never_close(value: float) -> None:
    case = load_case("segvit", "tiny-atm3")
    actual = case.tensors["logits"].clone()
    actual[0, 0, 0, 0] = value

    with pytest.raises(AssertionError, match="logits differs"):
        assert_close_to_reference(actual, case, "logits")


def test_another_shape_is_not_close() -> None:
    case = load_case("segvit", "tiny-atm3")

    with pytest.raises(AssertionError, match="shape"):
        assert_close_to_reference(case.tensors["logits"][:, :-1], case, "logits")


def test_losses_are_compared_by_name_and_value() -> None:
    assert_losses_match({"loss_ce": 2.0001, "loss_mask": 1.0}, {"loss_ce": 2.0, "loss_mask": 1.0})
    with pytest.raises(AssertionError, match="loss_ce"):
        assert_losses_match({"loss_ce": 2.001}, {"loss_ce": 2.0})
    with pytest.raises(AssertionError, match="loss_mask"):
        assert_losses_match({"loss_ce": 2.0}, {"loss_ce": 2.0, "loss_mask": 1.0})


def test_gradient_norms_are_compared_by_original_name() -> None:
    case = load_case("segvit", "tiny-atm3-train")
    norms: dict[str, float | torch.Tensor | None] = dict(case.meta["grad_norms"])

    assert_gradient_norms_match(norms, case)

    norms["decode_head.q.weight"] = 1.01 * case.meta["grad_norms"]["decode_head.q.weight"]
    with pytest.raises(AssertionError, match="decode_head.q.weight"):
        assert_gradient_norms_match(norms, case)


def test_label_maps_may_differ_at_one_pixel_in_a_thousand() -> None:
    case = load_case("segvit", "e2e-atm3-coffee")
    label_map = case.tensors["label_map"].clone()
    label_map.view(-1)[:200] += 1

    assert_label_map_matches(label_map, case)

    label_map.view(-1)[200:400] += 1
    with pytest.raises(AssertionError, match="agree"):
        assert_label_map_matches(label_map, case)
