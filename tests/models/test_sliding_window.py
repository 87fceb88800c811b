"""Inputs larger than the crop are run in overlapping windows whose logits are averaged."""

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError

from segvit_hf.models.sliding_window import sliding_windows, window_starts
from tests.models.architectures import SMALL_MODELS, SmallModel

WINDOW = {"crop_size": [64, 64], "stride": [42, 42]}


@pytest.mark.parametrize(
    ("side", "starts"),
    [(40, [0]), (64, [0]), (65, [0, 1]), (106, [0, 42]), (107, [0, 42, 43]), (148, [0, 42, 84])],
)
def test_windows_start_every_stride_and_end_at_the_border(side: int, starts: list[int]) -> None:
    assert window_starts(side, crop=64, stride=42) == starts


def test_windows_cover_every_pixel_and_share_one_size() -> None:
    covered = torch.zeros(150, 50)
    sizes = set()
    for rows, columns in sliding_windows((150, 50), (64, 64), (42, 42)):
        covered[rows, columns] += 1
        sizes.add((rows.stop - rows.start, columns.stop - columns.start))
    assert covered.min() >= 1
    assert sizes == {(64, 50)}


def test_logits_are_the_mean_over_windows(any_model: SmallModel) -> None:
    model = any_model.build(sliding_window=WINDOW)
    pixel_values = torch.randn(2, 3, 90, 130)
    with torch.no_grad():
        logits = model(pixel_values).logits
        expected, counts = torch.zeros_like(logits), torch.zeros(90, 130)
        for rows, columns in sliding_windows((90, 130), (64, 64), (42, 42)):
            expected[:, :, rows, columns] += model(pixel_values[:, :, rows, columns]).logits
            counts[rows, columns] += 1
    torch.testing.assert_close(logits, expected / counts, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("size", "offsets"), [((48, 60), (0, 12)), ((60, 16), (0, 16, 32, 44))])
def test_small_inputs_are_run_in_squares_where_the_original_does(
    size: tuple[int, int], offsets: tuple[int, ...]
) -> None:
    """DINOv3: both sides below the window's. A stride beyond the square would leave pixels out."""
    small_model = SMALL_MODELS["linear-head-cut"]
    model, whole = (small_model.build(sliding_window=WINDOW, square_small_inputs=square) for square in (True, False))
    pixel_values = torch.randn(2, 3, *size)
    side, axis = min(size), 2 if size[0] > size[1] else 3
    with torch.no_grad():
        logits = model(pixel_values).logits
        expected, counts = torch.zeros_like(logits), torch.zeros_like(logits)
        for offset in offsets:
            expected.narrow(axis, offset, side).add_(whole(pixel_values.narrow(axis, offset, side)).logits)
            counts.narrow(axis, offset, side).add_(1)
        torch.testing.assert_close(logits, expected / counts, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(logits, whole(pixel_values).logits)


@pytest.mark.parametrize("size", [(48, 48), (64, 60), (40, 130)])
def test_other_inputs_are_run_as_without_squares(size: tuple[int, int]) -> None:
    small_model = SMALL_MODELS["linear-head-cut"]
    model, whole = (small_model.build(sliding_window=WINDOW, square_small_inputs=square) for square in (True, False))
    pixel_values = torch.randn(1, 3, *size)
    with torch.no_grad():
        assert torch.equal(model(pixel_values).logits, whole(pixel_values).logits)


def test_none_runs_the_whole_input(any_model: SmallModel) -> None:
    model = any_model.build(sliding_window=WINDOW)
    pixel_values = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        windows = model(pixel_values).logits
        model.config.sliding_window = None
        whole = model(pixel_values).logits
        direct = model.encode_decode(pixel_values).logits
    assert torch.equal(whole, direct)
    assert not torch.allclose(whole, windows)


def test_the_loss_of_a_large_input_is_that_of_the_whole_input(any_model: SmallModel) -> None:
    model = any_model.build(sliding_window=WINDOW)
    pixel_values, labels = torch.randn(1, 3, 96, 96), torch.randint(0, 5, (1, 96, 96))
    with torch.no_grad():
        torch.manual_seed(0)  # some losses are taken at random points
        output = model(pixel_values, labels=labels)
        torch.manual_seed(0)
        assert torch.equal(output.loss, model.encode_decode(pixel_values, labels).loss)
        assert torch.equal(output.logits, model(pixel_values).logits)


def test_hidden_states_and_attentions_run_over_windows(any_model: SmallModel) -> None:
    model = any_model.build(sliding_window=WINDOW, attn_implementation="eager")
    output = model(torch.randn(1, 3, 64, 106), output_hidden_states=True, output_attentions=True)
    assert len(output.hidden_states) == model.config.num_hidden_layers + 1
    assert all(len(hidden_state) == 2 for hidden_state in output.hidden_states)
    assert len(output.attentions) == model.config.num_hidden_layers
    assert all(len(attention) == 2 for attention in output.attentions)


@pytest.mark.parametrize("sliding_window", [{"crop_size": 64}, 64, {"crop_size": 64, "stride": 65}, "slide"])
def test_a_wrong_sliding_window_is_refused(any_model: SmallModel, sliding_window: object) -> None:
    with pytest.raises(Exception, match="sliding_window"):
        any_model.build(sliding_window=sliding_window)


def test_a_pair_of_numbers_is_read_as_crop_and_stride(any_model: SmallModel) -> None:
    assert any_model.build(sliding_window=(64, 42)).config.sliding_window == WINDOW


def test_the_field_can_be_set_on_a_finished_model(any_model: SmallModel) -> None:
    model = any_model.build()
    pixel_values = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        model.config.sliding_window = WINDOW
        expected = model(pixel_values).logits
        model.config.sliding_window = ((64, 64), (42, 42))
        assert model.config.sliding_window == WINDOW
        assert torch.equal(model(pixel_values).logits, expected)


@pytest.mark.parametrize("wrong", [{"crop_size": 64}, {"crop_size": 64, "stride": 65}, (64, 42, 42), "slide"])
def test_a_wrong_window_cannot_be_set_on_a_finished_model(any_model: SmallModel, wrong: object) -> None:
    config = any_model.build(sliding_window=WINDOW).config
    with pytest.raises((ValueError, StrictDataclassError), match="sliding_window"):
        config.sliding_window = wrong
    assert config.sliding_window == WINDOW
