"""Which photo is trained on when does not depend on processes, workers or resumes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from segvit_hf import SegVitImageProcessor
from segvit_hf.data import TrainingAugmentation
from segvit_hf.training.data.loading import TrainingCrop, TrainingCropDataset, build_training_loader
from segvit_hf.training.data.sampling import SampleOrder, SampleRequest, TrainingBatchSampler


def _numbers(**changes: Any) -> list[list[int]]:
    settings = {"per_device_size": 2, "accumulation_steps": 2, "first_step": 0, "last_step": 4} | changes
    return [
        [request.number for request in batch] for batch in TrainingBatchSampler(SampleOrder(5, seed=3), **settings)
    ]


def test_every_epoch_shows_every_photo_once_in_a_new_order() -> None:
    order = SampleOrder(5, seed=3)
    epochs = [[order.request(number).index for number in range(5 * epoch, 5 * epoch + 5)] for epoch in range(4)]
    assert all(sorted(epoch) == [0, 1, 2, 3, 4] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1
    assert SampleOrder(5, seed=3).request(13) == order.request(13)


def test_two_processes_share_the_samples_of_one() -> None:
    alone = _numbers()
    first, second = (_numbers(accumulation_steps=1, process_index=rank, num_processes=2) for rank in range(2))
    assert alone == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10, 11], [12, 13], [14, 15]]
    assert [batch for pair in zip(first, second, strict=True) for batch in pair] == alone


def test_a_resumed_run_takes_up_where_it_was() -> None:
    assert _numbers(first_step=3) == _numbers()[6:]
    batches = TrainingBatchSampler(
        SampleOrder(5, 3), per_device_size=2, accumulation_steps=2, first_step=3, last_step=4
    )
    assert len(batches) == 2


class _Photos:
    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> dict[str, Any]:
        random = np.random.default_rng(index)
        return {
            "image": random.integers(0, 256, (40, 50, 3)).astype(np.uint8),
            "segmentation_map": random.integers(0, 3, (40, 50)),
            "name": str(index),
        }


@pytest.fixture
def crops() -> TrainingCropDataset:
    augmentation = TrainingAugmentation(crop_size=(48, 32), size=(64, 32))
    processor = SegVitImageProcessor(do_reduce_labels=True)
    return TrainingCropDataset(_Photos(), augmentation, processor, seed=1, ignore_index=255)


def crop(crops: TrainingCropDataset, number: int, index: int) -> TrainingCrop:
    found = crops[SampleRequest(number, index)]
    assert isinstance(found, TrainingCrop)
    return found


def test_batches_are_the_same_with_and_without_workers(crops: TrainingCropDataset) -> None:
    batches = [
        list(
            build_training_loader(
                crops,
                TrainingBatchSampler(
                    SampleOrder(5, 1), per_device_size=2, accumulation_steps=1, first_step=0, last_step=3
                ),
                workers,
            )
        )
        for workers in (0, 2)
    ]
    for alone, with_workers in zip(*batches, strict=True):
        assert torch.equal(alone.inputs["pixel_values"], with_workers.inputs["pixel_values"])
        assert torch.equal(alone.inputs["labels"], with_workers.inputs["labels"])


def test_a_photo_is_augmented_anew_whenever_it_comes(crops: TrainingCropDataset) -> None:
    first, again, later = (crop(crops, number, 0).pixel_values for number in (0, 0, 5))
    assert torch.equal(first, again)
    assert not torch.equal(first, later)


def test_small_crops_are_padded_after_normalization(crops: TrainingCropDataset) -> None:
    padded = 0
    for number in range(20):
        sample = crop(crops, number, number % 5)
        assert sample.pixel_values.shape == (3, 48, 32)
        assert sample.labels.shape == (48, 32)
        ignored = sample.labels == 255
        # Labels are not reduced a second time: class 0 is still there, and only padding is ignored.
        assert bool((sample.labels == 0).any())
        assert bool((sample.pixel_values[:, ignored] == 0).all())
        padded += bool(ignored.any())
    assert 0 < padded < 20


def test_no_samples_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one training sample"):
        SampleOrder(0, seed=0)
