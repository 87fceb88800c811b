"""Samples that cannot be used: a corrupt photo, a mask of another size, a label that is no class."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch.utils.data import Dataset

from segvit_hf.messages import one_line
from segvit_hf.training.data.datasets import SegmentationDataset


class SampleError(ValueError):
    """A photo or its label map cannot be used; the message names the file, what was expected and what was found."""


def read_sample(dataset: SegmentationDataset, index: int) -> Mapping[str, Any]:
    """An item of a data set.

    Raises:
        SampleError: It cannot be read.
    """
    try:
        return dataset[index]
    except (OSError, ValueError, TypeError) as error:
        raise SampleError(one_line(error)) from error


class SampleSubset(Dataset[Mapping[str, Any] | SampleError]):
    """Some samples, in order, for a loader; one that cannot be read is its error.

    An exception that leaves a loader's worker comes back as text with a traceback; as a value it stays what it is.

    Args:
        dataset: All samples.
        indices: Those of this process.
    """

    def __init__(self, dataset: SegmentationDataset, indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> Mapping[str, Any] | SampleError:
        try:
            return read_sample(self.dataset, self.indices[position])
        except SampleError as error:
            return error


__all__ = ["SampleError", "SampleSubset", "read_sample"]
