"""Shrunk with tokens kept at edges (unverified, there is no original): what must hold whatever predicts the edges."""

from typing import Any

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from segvit_hf.encoders.edge_tokens import edge_loss, kept_tokens
from tests.models.architectures import SMALL_MODELS

SHRUNK = SMALL_MODELS["segvit-shrunk"]
GRID = (4, 6)


@pytest.fixture
def pixel_values() -> torch.Tensor:
    return torch.randn(2, 3, 64, 96)  # 4 x 6 tokens, of which 2 x 3 are on the regular grid


def with_weights_of(model: nn.Module, **fields: Any) -> nn.Module:
    other = SHRUNK.build(**fields)
    missing, unexpected = other.load_state_dict(model.state_dict(), strict=False)
    assert (set(missing) <= {"encoder.edge_tokens.classifier.weight", "encoder.edge_tokens.classifier.bias"}, []) == (
        True,
        unexpected,
    )
    return other


def test_a_budget_of_zero_is_shrunk_bit_for_bit(pixel_values: torch.Tensor) -> None:
    model = SHRUNK.build()
    other = with_weights_of(model, shrink_edge_budget=0)
    assert set(other.state_dict()) == set(model.state_dict())
    with torch.no_grad():
        assert torch.equal(other(pixel_values).logits, model(pixel_values).logits)


@pytest.mark.parametrize("budget", [18, 1000])
def test_a_budget_of_all_tokens_is_the_plain_encoder(pixel_values: torch.Tensor, budget: int) -> None:
    model = SHRUNK.build(shrink_edge_budget=budget)
    plain = SHRUNK.build(shrink_index=None)
    plain.load_state_dict(model.state_dict(), strict=False)
    with torch.no_grad():
        found, expected = (m.encoder(pixel_values).feature_maps[-1].flatten(2) for m in (model, plain))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_have_the_size_and_dtype_that_shrunk_has(pixel_values: torch.Tensor, dtype: torch.dtype) -> None:
    shapes = set()
    for budget in (0, 5):
        model = SHRUNK.build(shrink_edge_budget=budget).to(dtype)
        with torch.no_grad():
            logits = model(pixel_values.to(dtype)).logits
        assert logits.isfinite().all()
        shapes.add((logits.shape, logits.dtype))
    assert len(shapes) == 1


@pytest.mark.parametrize("budget", [1, 5, 17])
def test_every_image_keeps_the_grid_and_the_budget(pixel_values: torch.Tensor, budget: int) -> None:
    encoder = SHRUNK.build(shrink_edge_budget=budget).encoder
    with torch.no_grad():
        output = encoder(pixel_values)
    assert output.feature_maps[-1].shape[2:] == (6 + budget, 1)
    assert output.edge_logits.shape == (2, *GRID)


def test_kept_tokens_are_unique_sorted_and_hold_the_grid_and_the_best() -> None:
    scores = torch.randn(3, 24)
    kept = kept_tokens(scores, GRID, 5)
    regular = {row * 6 + column for row in (0, 2) for column in (0, 2, 4)}
    for image, indices in zip(scores, kept.tolist(), strict=True):
        assert indices == sorted(set(indices))
        extra = set(indices) - regular
        assert (len(indices), len(extra)) == (11, 5)
        others = [index for index in range(24) if index not in regular]
        assert extra == set(sorted(others, key=lambda index: -image[index].item())[:5])


def test_the_order_of_the_kept_tokens_changes_nothing(pixel_values: torch.Tensor) -> None:
    model = SHRUNK.build(shrink_edge_budget=5)
    num_prefix_tokens = 0  # SegViT's ViT drops its class token before the first layer
    order = torch.cat([torch.arange(num_prefix_tokens), num_prefix_tokens + torch.randperm(11)])
    with torch.no_grad():
        expected = model(pixel_values).logits
        model.encoder.edge_tokens.register_forward_hook(
            lambda _module, _inputs, output: (output[0][:, order], output[1])
        )
        torch.testing.assert_close(model(pixel_values).logits, expected, rtol=1e-5, atol=1e-6)


def test_only_the_edge_loss_trains_the_prediction_and_it_trains_nothing_else() -> None:
    model = SHRUNK.build(shrink_edge_budget=5).train()
    labels = torch.randint(0, 5, (2, 64, 64))
    losses = model(torch.randn(2, 3, 64, 64), labels=labels).losses
    edge = {name for name, _ in model.named_parameters() if "edge_tokens" in name}
    for name, expected in (("loss_edge", edge), ("loss_mask", None)):
        model.zero_grad()
        losses[name].backward(retain_graph=True)
        trained = {key for key, value in model.named_parameters() if value.grad is not None and value.grad.any()}
        assert trained == expected if expected else not trained & edge


def test_an_edge_is_a_patch_of_more_than_one_class() -> None:
    labels = torch.zeros(1, 8, 10, dtype=torch.int64)
    labels[0, :, 3] = 2  # the first patch of each row
    labels[0, 4:, 4:8] = 255  # nothing there
    labels[0, 0, 4] = 255  # ignored beside a class is no edge
    logits = torch.tensor([[[9.0, -9.0, -9.0], [9.0, 9.0, -9.0]]])
    assert edge_loss(logits, labels, 4, 255) < 1e-3
    assert edge_loss(-logits, labels, 4, 255) > 8.9
    assert edge_loss(logits, torch.full_like(labels, 255), 4, 255) == 0


def test_fewer_tokens_are_less_work(pixel_values: torch.Tensor) -> None:
    counts = []
    for fields in ({}, {"shrink_edge_budget": 5}, {"shrink_index": None}):
        encoder = SHRUNK.build(**fields).encoder
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            encoder(pixel_values)
        counts.append(counter.get_total_flops())
    assert counts[0] < counts[1] < counts[2]


@pytest.mark.parametrize(
    "fields",
    [{"shrink_index": None}, {"shrink_edge_budget": -1}, {"use_token_pyramid": False, "num_decoder_stages": 2}],
)
def test_a_budget_without_what_it_needs_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises((ValueError, StrictDataclassError), match="shrink_edge_budget"):
        SHRUNK.build(**{"shrink_edge_budget": 5, **fields})
