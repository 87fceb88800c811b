"""Which values weights may have: nothing is rounded, scaled or shared in silence."""

from collections.abc import Callable

import pytest
import torch

from segvit_hf.conversion import ConversionError, ConvertedCheckpoint, convert_checkpoint
from tests.reference import load_case

CASE = load_case("segvit", "tiny-atm1")
KEY = "decode_head.q.weight"
FIRST, SECOND = "backbone.layers.0.ln1.weight", "backbone.layers.0.ln2.weight"


def convert(weights: dict[str, torch.Tensor], **more: bool) -> ConvertedCheckpoint:
    return convert_checkpoint("segvit", weights, {"model": CASE.arch}, **more)


def weights_with(change: Callable[[torch.Tensor], torch.Tensor], key: str = KEY) -> dict[str, torch.Tensor]:
    weights = dict(CASE.state_dict())
    return {**weights, key: change(weights[key])}


@pytest.mark.parametrize(
    "dtype",
    [
        *(torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64, torch.bool, torch.complex64),
        *(torch.float8_e4m3fn, torch.float8_e5m2),
    ],
)
def test_other_types_than_floating_point_are_refused_by_name(dtype: torch.dtype) -> None:
    with pytest.raises(ConversionError, match=rf"{KEY}: {str(dtype).removeprefix('torch.')}"):
        convert(weights_with(lambda weight: weight.to(dtype)))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda weight: weight.to_sparse(), "float32, sparse_coo"),
        (lambda weight: weight.to("meta"), "float32 without values"),
        (lambda weight: torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8), "qint8"),
        (lambda weight: torch.zeros(()), r"expected \[6, 32\], found \[\]"),
    ],
)
def test_other_kinds_of_tensors_are_refused_by_name(
    change: Callable[[torch.Tensor], torch.Tensor], found: str
) -> None:
    with pytest.raises(ConversionError, match=rf"{KEY}: {found}"):
        convert(weights_with(change))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_floating_point_types_become_float32(dtype: torch.dtype) -> None:
    weights = weights_with(lambda weight: weight.to(dtype))
    found = convert(weights).model.decoder.class_queries.weight
    assert found.dtype == torch.float32
    assert torch.equal(found, weights[KEY].float())


@pytest.mark.parametrize(
    ("value", "dtype", "found"),
    [
        (float("nan"), torch.float32, "NaN"),
        (float("-inf"), torch.float32, "infinity"),
        (1e300, torch.float64, "float64 beyond float32"),
        (float("nan"), torch.float16, "NaN"),
    ],
)
def test_what_is_not_finite_is_refused_unless_allowed(value: float, dtype: torch.dtype, found: str) -> None:
    def with_one(weight: torch.Tensor) -> torch.Tensor:
        weight = weight.to(dtype, copy=True)
        weight[-1, -1] = value
        return weight

    weights = weights_with(with_one)
    with pytest.raises(ConversionError, match=rf"{KEY}: {found}") as error:
        convert(weights)
    assert "allow_nonfinite=True" in str(error.value)
    result = convert(weights, allow_nonfinite=True).model.decoder.class_queries.weight
    assert not torch.isfinite(result[-1, -1])
    assert torch.isfinite(result).sum() == result.numel() - 1


def test_long_lists_are_cut() -> None:
    weights = {key: weight.to(torch.int8) for key, weight in CASE.state_dict().items()}
    with pytest.raises(ConversionError, match=r"\.\.\. and \d+ more") as error:
        convert(weights)
    assert str(error.value).count("\n") < 15


def test_two_names_for_one_tensor_become_two_parameters() -> None:
    weights = dict(CASE.state_dict())
    weights[SECOND] = weights[FIRST]
    layer = convert(weights).model.encoder.layers[0]
    assert torch.equal(layer.norm1.weight, layer.norm2.weight)
    with torch.no_grad():
        layer.norm1.weight.zero_()
    assert torch.equal(layer.norm2.weight, CASE.state_dict()[FIRST])


def test_weights_with_memory_of_their_own_are_not_copied() -> None:
    weights = {key: weight.clone() for key, weight in CASE.state_dict().items()}
    found = convert(weights).model.decoder.class_queries.weight
    assert found.data_ptr() == weights[KEY].data_ptr()
