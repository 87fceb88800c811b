"""Training batches: augmented crops, normalized by the image processor, in the run's fixed order."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from segvit_hf.data.augmentations import TrainingAugmentation, pad_to_size
from segvit_hf.training.data.datasets import SegmentationDataset
from segvit_hf.training.data.sampling import SampleRequest, TrainingBatchSampler


class TrainingCropDataset(Dataset[dict[str, torch.Tensor]]):
    """Augmented crops: `SampleRequest -> {"pixel_values": (3, height, width), "labels": (height, width)}`.

    `pixel_values` are float32, `labels` int64. The random numbers of a sample come from `(seed, sample number)` alone,
    so a sample is the same in whichever process or worker it is made. Crops smaller than the crop size are padded at
    the bottom and right after normalization, with 0 (the mean color) and the ignore index.

    Args:
        dataset: Its maps hold class ids.
        augmentation: Makes the crops; its own `ignore_index` does not count.
        image_processor: Only its rescaling and normalization are used.
        seed: Of the random numbers.
        ignore_index: Id that stands for no class.
    """

    def __init__(
        self,
        dataset: SegmentationDataset,
        augmentation: TrainingAugmentation,
        image_processor: Any,
        *,
        seed: int,
        ignore_index: int,
    ) -> None:
        self.dataset = dataset
        self.augment = replace(augmentation, ignore_index=ignore_index)
        # Its size rules are for whole photos; the augmentation has its own for crops.
        self.normalize = image_processor.without_size_rules()
        self.seed = seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, request: SampleRequest) -> dict[str, torch.Tensor]:
        item = self.dataset[request.index]
        # The 1 keeps these numbers apart from those of the sample order, which has (seed, epoch).
        random = np.random.default_rng([self.seed, 1, request.number])
        image, segmentation_map = self.augment(item["image"], item["segmentation_map"], random)
        inputs = self.normalize(images=[image], input_data_format="channels_last", return_tensors="pt")
        pixel_values = inputs["pixel_values"][0]
        padded, labels = pad_to_size(
            pixel_values,
            torch.from_numpy(segmentation_map),
            self.augment.crop_size,
            label_pad_value=self.augment.ignore_index,
        )
        assert labels is not None
        return {"pixel_values": padded, "labels": labels}


def build_training_loader(crops: TrainingCropDataset, batches: TrainingBatchSampler, workers: int) -> DataLoader[Any]:
    """A loader of `{"pixel_values": (batch, 3, height, width), "labels": (batch, height, width)}`."""
    return DataLoader(
        crops,
        batch_sampler=batches,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        # A loader draws its workers' seed from this generator instead of the global one that dropout uses.
        generator=torch.Generator().manual_seed(crops.seed),
    )


__all__ = ["TrainingCropDataset", "build_training_loader"]
