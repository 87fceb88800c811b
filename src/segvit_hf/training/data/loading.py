"""Training batches: augmented crops, normalized by the image processor, in the run's fixed order."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from segvit_hf.data.augmentations import TrainingAugmentation, pad_to_size
from segvit_hf.training.data.datasets import SegmentationDataset
from segvit_hf.training.data.samples import SampleError, read_sample
from segvit_hf.training.data.sampling import SampleRequest, TrainingBatchSampler, substitutes
from segvit_hf.training.stopping import ignore_interrupts

# So many samples in a row that cannot be used are no accident.
_MOST_SUBSTITUTES = 20


class TrainingCrop(NamedTuple):
    """One crop.

    Attributes:
        pixel_values: float32 (3, height, width).
        labels: int64 (height, width).
        skipped: What was wrong with the samples in whose place this one came.
    """

    pixel_values: torch.Tensor
    labels: torch.Tensor
    skipped: list[str]


class TrainingBatch(NamedTuple):
    """Crops together, or why there are none.

    Attributes:
        inputs: `{"pixel_values": (batch, 3, height, width), "labels": (batch, height, width)}`.
        skipped: What was wrong with each sample that another one replaced.
        error: What is wrong with a sample that nothing replaces; `inputs` is then empty.
    """

    inputs: dict[str, torch.Tensor]
    skipped: list[str]
    error: str | None = None


class TrainingCropDataset(Dataset["TrainingCrop | SampleError"]):
    """Augmented crops: `SampleRequest -> TrainingCrop`.

    The random numbers of a sample come from `(seed, sample number)` alone, so a sample is the same in whichever
    process or worker it is made. Crops smaller than the crop size are padded at the bottom and right after
    normalization, with 0 (the mean color) and the ignore index.

    A sample that cannot be used is a `SampleError`, as a value: loaders make text of an exception. With
    `skip_unreadable` another one takes its place, which `(seed, sample number)` decides, too: nothing else moves, and
    as long as the same files are unusable the run is the same run, resumed or not, on any number of processes.

    Args:
        dataset: Its maps hold class ids.
        augmentation: Makes the crops; its own `ignore_index` does not count.
        image_processor: Only its rescaling and normalization are used.
        seed: Of the random numbers.
        ignore_index: Id that stands for no class.
        skip_unreadable: Replace samples that cannot be used.
    """

    def __init__(
        self,
        dataset: SegmentationDataset,
        augmentation: TrainingAugmentation,
        image_processor: Any,
        *,
        seed: int,
        ignore_index: int,
        skip_unreadable: bool = False,
    ) -> None:
        self.dataset = dataset
        self.augment = replace(augmentation, ignore_index=ignore_index)
        # Its size rules are for whole photos; the augmentation has its own for crops.
        self.normalize = image_processor.without_size_rules()
        self.seed = seed
        self.skip_unreadable = skip_unreadable

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, request: SampleRequest) -> TrainingCrop | SampleError:
        skipped: list[str] = []
        for index in self._candidates(request):
            try:
                item = read_sample(self.dataset, index)
            except SampleError as error:
                skipped.append(str(error))
            else:
                return TrainingCrop(*self._crop(item, request.number), skipped)
        if len(skipped) == 1:
            return SampleError(skipped[0])
        return SampleError(f"{len(skipped)} samples in a row cannot be used; the last one: {skipped[-1]}")

    def _candidates(self, request: SampleRequest) -> Iterator[int]:
        yield request.index
        if self.skip_unreadable:
            yield from substitutes(self.seed, request, len(self))[:_MOST_SUBSTITUTES]

    def _crop(self, item: Any, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        # The 1 keeps these numbers apart from those of the sample order, which has (seed, epoch).
        random = np.random.default_rng([self.seed, 1, number])
        image, segmentation_map = self.augment(item["image"], item["segmentation_map"], random)
        inputs = self.normalize(images=[image], input_data_format="channels_last", return_tensors="pt")
        padded, labels = pad_to_size(
            inputs["pixel_values"][0],
            torch.from_numpy(segmentation_map),
            self.augment.crop_size,
            label_pad_value=self.augment.ignore_index,
        )
        assert labels is not None
        return padded, labels


def collate_crops(crops: list[TrainingCrop | SampleError]) -> TrainingBatch:
    """Stacks crops; one that cannot be used makes the whole batch unusable."""
    usable = [crop for crop in crops if isinstance(crop, TrainingCrop)]
    errors = [str(crop) for crop in crops if isinstance(crop, SampleError)]
    if errors:
        return TrainingBatch({}, [], errors[0])
    inputs = {name: torch.stack([getattr(crop, name) for crop in usable]) for name in ("pixel_values", "labels")}
    return TrainingBatch(inputs, [message for crop in usable for message in crop.skipped])


def build_training_loader(crops: TrainingCropDataset, batches: TrainingBatchSampler, workers: int) -> DataLoader[Any]:
    """A loader of `TrainingBatch`."""
    return DataLoader(
        crops,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=collate_crops,
        worker_init_fn=ignore_interrupts,
        pin_memory=torch.cuda.is_available(),
        # A loader draws its workers' seed from this generator instead of the global one that dropout uses.
        generator=torch.Generator().manual_seed(crops.seed),
    )


__all__ = ["TrainingBatch", "TrainingCrop", "TrainingCropDataset", "build_training_loader", "collate_crops"]
