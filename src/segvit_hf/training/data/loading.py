"""Training batches: augmented crops, normalized by the image processor, in the run's fixed order."""

from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from segvit_hf.data.augmentations import TrainingAugmentation, pad_to_size
from segvit_hf.training.data.sampling import SampleRequest, TrainingBatches
from segvit_hf.training.data.sources import IGNORE_INDEX, LabeledPictures
from segvit_hf.training.recipe import AugmentationRecipe


class TrainingCrops(Dataset[dict[str, torch.Tensor]]):
    """`SampleRequest -> {"pixel_values": float32 (3, height, width), "labels": int64 (height, width)}` of the crop
    size.

    The random numbers of a sample come from `(seed, sample number)` alone, so a sample is the same in whichever
    process or worker it is made. Crops smaller than the crop size are padded at the bottom and right after
    normalization, with 0 (the mean color) and 255 (ignored).

    Args:
        pictures: maps hold class ids, 255 = ignore.
        image_processor: only its rescaling and normalization are used.
    """

    def __init__(
        self, pictures: LabeledPictures, augmentation: AugmentationRecipe, image_processor: Any, seed: int
    ) -> None:
        self.pictures = pictures
        self.crop_size = augmentation.crop_size
        self.seed = seed
        self.augment = TrainingAugmentation(
            crop_size=augmentation.crop_size,
            size=augmentation.size,
            scale_range=augmentation.scale_range,
            cat_max_ratio=augmentation.cat_max_ratio,
            flip_probability=augmentation.flip_probability,
            photometric_distortion=augmentation.photometric_distortion,
            ignore_index=IGNORE_INDEX,
        )
        # Its size rules are for whole photos; the augmentation has its own for crops.
        self.normalize = image_processor.without_size_rules()

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, request: SampleRequest) -> dict[str, torch.Tensor]:
        item = self.pictures[request.index]
        # The 1 keeps these numbers apart from those of the sample order, which has (seed, epoch).
        random = np.random.default_rng([self.seed, 1, request.number])
        image, segmentation_map = self.augment(item["image"], item["segmentation_map"], random)
        pixel_values = self.normalize(images=[image], return_tensors="pt")["pixel_values"][0]
        padded, labels = pad_to_size(
            pixel_values, torch.from_numpy(segmentation_map), self.crop_size, label_pad_value=IGNORE_INDEX
        )
        assert labels is not None
        return {"pixel_values": padded, "labels": labels}


def build_training_loader(crops: TrainingCrops, batches: TrainingBatches, workers: int) -> DataLoader[Any]:
    """A loader of `{"pixel_values": (batch, 3, height, width), "labels": (batch, height, width)}`."""
    return DataLoader(
        crops,
        batch_sampler=batches,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        # A loader draws its workers' seed from this generator instead of the global one that dropout uses.
        generator=torch.Generator().manual_seed(crops.seed),
    )
