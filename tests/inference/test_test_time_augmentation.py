"""The mean of the views' probabilities: the same label map with little memory and by the plain computation."""

import pytest
import torch
import torch.nn.functional as F

from segvit_hf.inference import test_time_augmentation
from segvit_hf.inference.test_time_augmentation import View, accumulated_argmax, chunked_argmax, multi_view_argmax

SIZE = (37, 53)


def naive(views: list[View]) -> torch.Tensor:
    """Mean probabilities (classes, height, width): views resized whole, softmax in double precision, un-flipped."""
    probabilities = []
    for view in views:
        logits = F.interpolate(view.logits[None], size=SIZE, mode="bilinear", align_corners=False)
        softmax = logits.double().softmax(dim=1)[0]
        probabilities += [softmax.flip(-1) if view.flipped else softmax] * view.weight
    return torch.stack(probabilities).mean(dim=0)


def some_views() -> list[View]:
    return [
        View(torch.randn(11, 16, 24)),
        View(3 * torch.randn(11, 16, 24), flipped=True),
        View(torch.randn(11, 8, 12), weight=3),
        View(torch.randn(11, 40, 60), flipped=True, weight=2),
    ]


def assert_most_probable(label_map: torch.Tensor, probabilities: torch.Tensor) -> None:
    """The label map is the arg-max wherever the two best classes are not equal within rounding."""
    assert label_map.dtype == torch.int64
    first, second = probabilities.topk(2, dim=0).values
    decided = first - second > 1e-6
    assert decided.float().mean() > 0.99
    assert torch.equal(label_map[decided], probabilities.argmax(dim=0)[decided])


@pytest.mark.parametrize("max_elements", [1, 3 * 37 * 53, None])
def test_chunked_fusion_equals_the_naive_one(max_elements: int | None) -> None:
    views = some_views()
    assert_most_probable(chunked_argmax(views, SIZE, max_elements), naive(views))


def test_accumulated_fusion_equals_the_naive_one() -> None:
    views = some_views()
    assert_most_probable(accumulated_argmax(iter(views), SIZE), naive(views))


def test_one_view_is_the_argmax_of_its_logits() -> None:
    # Softmax would round these two classes to the same probability.
    logits = torch.zeros(3, 4, 5)
    logits[1], logits[2] = 1e-9, 2e-9
    assert chunked_argmax([View(logits)], SIZE).unique().tolist() == [2]


def test_views_differ_in_what_they_say() -> None:
    """Weights and flips matter, so that the comparisons above cannot pass by neglecting them."""
    views = some_views()
    unweighted = [View(view.logits, view.flipped) for view in views]
    unflipped = [View(view.logits, False, view.weight) for view in views]
    fused = chunked_argmax(views, SIZE)
    assert not torch.equal(fused, chunked_argmax(unweighted, SIZE))
    assert not torch.equal(fused, chunked_argmax(unflipped, SIZE))


@pytest.mark.parametrize(
    ("network_input", "chunked"), [((16, 24), True), ((40, 60), False), ((37, 53), False), ((18, 27), True)]
)
def test_the_cheaper_computation_is_chosen(
    network_input: tuple[int, int], chunked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All classes of one view at the photo's size where that is no larger than all inputs, else all views' logits."""
    taken = []
    resize = test_time_augmentation.resize_logits

    def recorded(logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        taken.append(len(logits))
        return resize(logits, size)

    monkeypatch.setattr(test_time_augmentation, "resize_logits", recorded)
    views = some_views()[:2]
    label_map = multi_view_argmax(iter(views), [network_input] * 2, SIZE, max_elements=SIZE[0] * SIZE[1])
    assert_most_probable(label_map, naive(views))
    assert set(taken) == ({1} if chunked else {11})


def test_no_views_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        multi_view_argmax([], [], SIZE)
    with pytest.raises(ValueError, match="at least one"):
        multi_view_argmax([], [SIZE, SIZE], SIZE)
