"""Inputs of any size: padded inside the model, cropped back."""

import pytest
import torch
import torch.nn.functional as F

from segvit_hf.encoders.beit import relative_positions, resize_relative_position_bias
from tests.models.architectures import SMALL_MODELS

NAMES = ["vit-adapter-upernet", "vit-adapter-beit-mask2former"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(50, 64), (64, 33), (70, 97), (1, 1)])
def test_other_sizes_are_padded_with_zeros_and_cropped_back(name: str, size: tuple[int, int]) -> None:
    model = SMALL_MODELS[name].build()
    height, width = size
    pixel_values = torch.randn(2, 3, height, width)
    padded = F.pad(pixel_values, (0, -width % 32, 0, -height % 32))
    with torch.no_grad():
        logits = model(pixel_values).logits
        assert logits.shape == (2, 5, height, width)
        assert torch.equal(logits, model(padded).logits[:, :, :height, :width])


def test_upernet_counts_only_the_pixels_of_the_input() -> None:
    model = SMALL_MODELS["vit-adapter-upernet"].build(use_auxiliary_head=False)
    pixel_values, labels = torch.randn(1, 3, 50, 40), torch.randint(0, 5, (1, 50, 40))
    labels[0, :10] = 255
    with torch.no_grad():
        output = model(pixel_values, labels=labels)
    expected = F.cross_entropy(output.logits, labels, ignore_index=255, reduction="sum") / labels.numel()
    torch.testing.assert_close(output.loss, expected)


def test_mask2former_pads_labels_with_the_ignore_index() -> None:
    model = SMALL_MODELS["vit-adapter-beit-mask2former"].build()
    pixel_values, labels = torch.randn(1, 3, 50, 40), torch.randint(0, 5, (1, 50, 40))
    padding = (0, 24, 0, 14)
    with torch.no_grad():
        loss = model(pixel_values, labels=labels).loss
        padded = model(F.pad(pixel_values, padding), labels=F.pad(labels, padding, value=255)).loss
    assert torch.equal(loss, padded)


def test_a_batch_without_any_class_has_no_mask_loss() -> None:
    model = SMALL_MODELS["vit-adapter-beit-mask2former"].build()
    output = model(torch.randn(2, 3, 64, 64), labels=torch.full((2, 64, 64), 255))
    assert all(value == 0 for name, value in output.losses.items() if "loss_cls" not in name)
    assert output.losses["decode.loss_cls"] > 0
    output.loss.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_the_loss_in_eval_mode_is_reproducible_and_leaves_the_random_state() -> None:
    model = SMALL_MODELS["vit-adapter-beit-mask2former"].build()
    pixel_values, labels = torch.randn(1, 3, 64, 64), torch.randint(0, 5, (1, 64, 64))
    with torch.no_grad():
        first = model(pixel_values, labels=labels).loss
        torch.rand(1)  # the second call starts from another random state
        state = torch.get_rng_state()
        assert torch.equal(first, model(pixel_values, labels=labels).loss)
        assert torch.equal(state, torch.get_rng_state())
        model.decoder.train()  # the encoder's stochastic depth would tell the losses apart by itself
        assert not torch.equal(model(pixel_values, labels=labels).loss, model(pixel_values, labels=labels).loss)


def brute_force_index(grid: tuple[int, int], table_grid: tuple[int, int]) -> torch.Tensor:
    """Rows of a bias table for pairs of patches, by the distance between them."""
    rows, columns = table_grid
    cells = [(y, x) for y in range(grid[0]) for x in range(grid[1])]
    return torch.tensor(
        [[(y1 - y2 + rows - 1) * (2 * columns - 1) + x1 - x2 + columns - 1 for y2, x2 in cells] for y1, x1 in cells]
    )


@pytest.mark.parametrize(("grid", "table_grid"), [((4, 4), (4, 4)), ((2, 3), (4, 4)), ((5, 3), (5, 4))])
def test_biases_follow_distances(grid: tuple[int, int], table_grid: tuple[int, int]) -> None:
    positions = relative_positions((4, 4), grid, torch.device("cpu"))
    assert positions.table_grid == table_grid
    assert torch.equal(positions.index[1:, 1:], brute_force_index(grid, table_grid))
    last = (2 * table_grid[0] - 1) * (2 * table_grid[1] - 1) + 2
    assert (positions.index[0, 1:] == last - 2).all()
    assert (positions.index[1:, 0] == last - 1).all()
    assert positions.index[0, 0] == last


def test_a_resized_table_keeps_its_ends_and_the_class_token() -> None:
    table = torch.randn(7 * 7 + 3, 2)
    resized = resize_relative_position_bias(table, (4, 4), (6, 4))
    assert resized.shape == (11 * 7 + 3, 2)
    assert torch.equal(resized[-3:], table[-3:])
    torch.testing.assert_close(resized[:7], table[:7])
    torch.testing.assert_close(resized[-10:-3], table[-10:-3])


def test_a_resized_table_interpolates_from_the_farthest_to_the_farthest_distance() -> None:
    table = torch.randn(7 * 7 + 3, 2)
    resized = resize_relative_position_bias(table, (4, 4), (7, 4))[:-3].unflatten(0, (13, 7))
    stored = table[:-3].unflatten(0, (7, 7))
    torch.testing.assert_close(resized[::2], stored)  # 13 rows from 7: every second one is a stored one
    torch.testing.assert_close(resized[1::2], (stored[:-1] + stored[1:]) / 2)
