"""Data sets of photos with label maps: rows of the `datasets` library, and stored ids as class ids."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from segvit_hf.data.label_maps import check_label_range, read_label_map, reduce_zero_label
from segvit_hf.data.label_sets import LabelSet
from segvit_hf.training.recipe import DataSource


class SegmentationDataset(Protocol):
    """Items `{"image": (height, width, 3) uint8 RGB, "segmentation_map": (height, width) ids, "name": str}`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Mapping[str, Any]: ...


class StoredDataset(SegmentationDataset, Protocol):
    """A data set whose label maps are as stored; they can be read alone, to be checked."""

    names: list[str]

    def read_annotation(self, index: int, /) -> np.ndarray:
        """Only the label map of an item, its ids not checked."""
        ...


class ClassIdDataset:
    """A stored data set with class ids, int64, in its maps: the one place where training reduces labels.

    Args:
        stored: Its label maps hold the ids of `label_set`'s files.
        label_set: The classes.
        ignore_index: Id that stands for no class, in the files and here.
    """

    def __init__(self, stored: SegmentationDataset, label_set: LabelSet, ignore_index: int) -> None:
        self.stored = stored
        self.label_set = label_set
        self.ignore_index = ignore_index

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, index: int) -> dict[str, Any]:
        item = self.stored[index]
        ids = np.asarray(item["segmentation_map"])
        reduced = reduce_zero_label(ids, self.ignore_index) if self.label_set.reduce_zero_label else ids
        return {**item, "segmentation_map": reduced.astype(np.int64, copy=False)}


class HuggingFaceDataset:
    """Photos of a data set of the `datasets` library: an image column and a column of one-channel label maps.

    Args:
        source: Names the data set, its split and its columns.
        folder: Where it lies if it is a local one.
        label_set: The classes.
        ignore_index: Id that stands for no class.

    Raises:
        ValueError: It has no such split or column; the message lists those it has.
    """

    def __init__(self, source: DataSource, folder: Path, label_set: LabelSet, ignore_index: int) -> None:
        self.rows = _load_rows(source, folder)
        for column in (source.image_column, source.annotation_column):
            if column not in self.rows.column_names:
                raise ValueError(
                    f"{source.dataset}: expected a column among {self.rows.column_names}, found {column!r}."
                )
        self.annotations = self.rows.select_columns([source.annotation_column])
        self.names = [f"{source.dataset}[{index}]" for index in range(len(self.rows))]
        self.source = source
        self.label_set = label_set
        self.ignore_index = ignore_index

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        name = self.names[index]
        image = _decoded(self.rows, index, self.source.image_column, name, mode="RGB")
        segmentation_map = self.read_annotation(index)
        if segmentation_map.shape != (image.height, image.width):
            raise ValueError(
                f"{name}: expected a label map of the photo's size {image.width}x{image.height}, found "
                f"{segmentation_map.shape[1]}x{segmentation_map.shape[0]}."
            )
        check_label_range(
            segmentation_map,
            self.label_set.num_labels,
            self.ignore_index,
            self.label_set.reduce_zero_label,
            source=name,
        )
        return {"image": np.asarray(image), "segmentation_map": segmentation_map, "name": name}

    def read_annotation(self, index: int) -> np.ndarray:
        """Only the label map of a row, integer array (height, width), its ids not checked."""
        name = self.names[index]
        return read_label_map(_decoded(self.annotations, index, self.source.annotation_column, name), source=name)


def fingerprint(names: Sequence[str]) -> str:
    """Tells one data set from another by the names of its photos, to notice that a resumed run sees other ones."""
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()
    # "pictures": checkpoints hold this text, also those written when photos were called so.
    return f"{len(names)} pictures, {digest[:16]}"


def _load_rows(source: DataSource, folder: Path) -> Any:
    from datasets import Dataset, load_dataset, load_from_disk  # takes seconds

    if folder.is_dir() and any((folder / name).is_file() for name in ("state.json", "dataset_dict.json")):
        loaded = load_from_disk(str(folder))
    else:
        loaded = load_dataset(str(folder) if folder.is_dir() else source.dataset, split=source.split)
    if isinstance(loaded, Mapping):
        if source.split not in loaded:
            raise ValueError(f"{source.dataset}: expected a split among {sorted(loaded)}, found {source.split!r}.")
        loaded = loaded[source.split]
    assert isinstance(loaded, Dataset)
    return loaded


def _decoded(rows: Any, index: int, column: str, name: str, mode: str | None = None) -> Image.Image:
    try:
        value = rows[index][column]
        if isinstance(value, Image.Image):
            return value if mode is None else value.convert(mode)
    # Each of PIL's readers has its own way to fail on a damaged file.
    except Exception as error:
        raise ValueError(f"{name}: {column}: cannot be read: {error}.") from error
    raise ValueError(f"{name}: {column}: expected a column of images (datasets.Image), found {type(value).__name__}.")


__all__ = [
    "ClassIdDataset",
    "HuggingFaceDataset",
    "SegmentationDataset",
    "StoredDataset",
    "fingerprint",
    "reduce_zero_label",
]
