"""From logits to label maps: equal to resize and arg-max, whatever the chunks of classes."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers.modeling_outputs import SemanticSegmenterOutput

from segvit_hf.image_processing import postprocessing
from segvit_hf.image_processing.postprocessing import class_chunks, resized_argmax
from segvit_hf.image_processing.processor import SemanticSegmentationImageProcessor


def plain(logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """The computation that holds all resized classes in memory."""
    return F.interpolate(logits[None], size=size, mode="bilinear", align_corners=False)[0].argmax(dim=0)


@pytest.mark.parametrize("max_elements", [1, 5 * 61 * 47, None])
@pytest.mark.parametrize("kind", ["random", "ties", "undefined"])
def test_chunks_of_classes_change_nothing(kind: str, max_elements: int | None) -> None:
    logits = torch.randn(13, 16, 12)
    if kind == "ties":
        logits = logits.round()  # most pixels have several best classes
    if kind == "undefined":
        logits[5, 3:9, 2:7] = float("nan")
        logits[9, 6:, 5:] = float("nan")
        logits[2, 12:] = float("inf")
    label_map = resized_argmax(logits, (61, 47), max_elements)
    assert label_map.dtype == torch.int64
    assert torch.equal(label_map, plain(logits, (61, 47)))


def test_large_photos_are_resized_a_few_classes_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    resized: list[int] = []
    resize_logits = postprocessing.resize_logits

    def counting(logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        result = resize_logits(logits, size)
        resized.append(result.numel())
        return result

    monkeypatch.setattr(postprocessing, "resize_logits", counting)
    logits = torch.randn(90, 4, 6)
    outputs = SemanticSegmenterOutput(logits=logits[None])
    (label_map,) = SemanticSegmentationImageProcessor().post_process_semantic_segmentation(outputs, [(1000, 1500)])
    assert max(resized) <= postprocessing.MAX_CHUNK_ELEMENTS
    assert sum(resized) == 90 * 1000 * 1500
    assert label_map.shape == (1000, 1500)
    # At 6000 x 4000 one class is all that fits, and one at a time is what is resized.
    assert [(part.start, part.stop) for part in class_chunks(3, (6000, 4000))] == [(0, 1), (1, 2), (2, 3)]


@pytest.mark.parametrize("as_tensor", [False, True])
def test_each_image_gets_its_own_size(as_tensor: bool) -> None:
    logits = torch.randn(2, 7, 8, 10)
    sizes: Any = [(31, 22), (9, 40)]
    label_maps = SemanticSegmentationImageProcessor().post_process_semantic_segmentation(
        SemanticSegmenterOutput(logits=logits), torch.tensor(sizes) if as_tensor else sizes
    )
    for label_map, scores, size in zip(label_maps, logits, sizes, strict=True):
        assert torch.equal(label_map, plain(scores, size))


def test_without_target_sizes_the_logits_keep_their_size() -> None:
    logits = torch.randn(2, 7, 8, 10)
    label_maps = SemanticSegmentationImageProcessor().post_process_semantic_segmentation(
        SemanticSegmenterOutput(logits=logits)
    )
    assert torch.equal(torch.stack(label_maps), logits.argmax(dim=1))


def test_logits_of_padded_images_are_cut_first() -> None:
    class Output(SemanticSegmenterOutput):
        image_sizes: torch.Tensor | None = None

    logits = torch.randn(2, 7, 8, 10)
    outputs = Output(logits=logits)
    outputs.image_sizes = torch.tensor([[8, 4], [5, 10]])
    processor = SemanticSegmentationImageProcessor()
    label_maps = processor.post_process_semantic_segmentation(outputs, [(30, 15), (20, 40)])
    assert torch.equal(label_maps[0], plain(logits[0, :, :, :4], (30, 15)))
    assert torch.equal(label_maps[1], plain(logits[1, :, :5], (20, 40)))
    assert [tuple(item.shape) for item in processor.post_process_semantic_segmentation(outputs)] == [(8, 4), (5, 10)]


def test_padding_to_a_minimum_size_is_cut_off_again() -> None:
    processor = SemanticSegmentationImageProcessor(
        size={"shortest_edge": 12, "longest_edge": 40}, minimum_padded_size=16
    )
    assert processor.get_input_geometry(24, 60).network_input == (16, 30)
    logits = torch.randn(1, 5, 16, 30)
    (label_map,) = processor.post_process_semantic_segmentation(SemanticSegmenterOutput(logits=logits), [(24, 60)])
    assert torch.equal(label_map, plain(logits[0, :, :12], (24, 60)))


def test_logits_of_a_training_step_are_accepted() -> None:
    logits = torch.randn(7, 8, 10, requires_grad=True)
    assert torch.equal(resized_argmax(logits, (33, 41), 1), plain(logits.detach(), (33, 41)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_resized_in_single_precision(dtype: torch.dtype) -> None:
    logits = torch.randn(7, 8, 10).to(dtype)
    assert torch.equal(resized_argmax(logits, (33, 41)), plain(logits.float(), (33, 41)))


def test_scores_come_with_the_label_map_on_request() -> None:
    logits = torch.randn(1, 7, 8, 10)
    (result,) = SemanticSegmentationImageProcessor().post_process_semantic_segmentation(
        SemanticSegmenterOutput(logits=logits), [(20, 30)], return_segmentation_scores=True
    )
    assert result.segmentation_scores.shape == (7, 20, 30)
    assert torch.equal(result.segmentation_scores.argmax(dim=0), result.segmentation)


@pytest.mark.parametrize(
    ("target_sizes", "message"),
    [
        ([(4, 4)], "one size per image of the batch of 2, found 1"),
        ([(4, 4)] * 3, "found 3"),
        ([(4, 4), (4,)], "pairs"),
        ([(4, 4), (0, 4)], "positive integers"),
        ([(4, 4), (4.5, 4)], "positive integers"),
    ],
)
def test_wrong_target_sizes_are_refused(target_sizes: Any, message: str) -> None:
    outputs = SemanticSegmenterOutput(logits=torch.zeros(2, 3, 4, 4))
    with pytest.raises(ValueError, match=message):
        SemanticSegmentationImageProcessor().post_process_semantic_segmentation(outputs, target_sizes)


def test_labels_and_predictions_of_a_photo_have_the_photos_size() -> None:
    processor = SemanticSegmentationImageProcessor(size={"shortest_edge": 16, "longest_edge": 64})
    photo = np.zeros((45, 71, 3), np.uint8)
    batch = processor(photo, return_tensors="pt")
    outputs = SemanticSegmenterOutput(logits=torch.randn(1, 4, *batch.pixel_values.shape[2:]))
    assert processor.post_process_semantic_segmentation(outputs, [photo.shape[:2]])[0].shape == (45, 71)
