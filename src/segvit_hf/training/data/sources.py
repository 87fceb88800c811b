"""From a recipe's data section to the class list and to pictures with label maps of class ids."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from segvit_hf.data.folders import LAYOUTS, SegmentationFolders
from segvit_hf.data.label_checks import check_labels
from segvit_hf.data.label_maps import DEFAULT_IGNORE_INDEX, check_label_range, read_label_map, reduce_zero_label
from segvit_hf.data.label_sets import LabelSet, get_label_set, read_class_list
from segvit_hf.training.recipe import DataRecipe, DataSource
from segvit_hf.training.recipe_parsing import RecipeError

IGNORE_INDEX = DEFAULT_IGNORE_INDEX


class LabeledPictures(Protocol):
    """Items `{"image": (height, width, 3) uint8 RGB, "segmentation_map": (height, width) ids, "name": str}`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Mapping[str, Any]: ...


class StoredPictures(LabeledPictures, Protocol):
    """Labeled pictures whose maps are as stored; label maps can be read alone, to be checked."""

    names: list[str]

    def read_annotation(self, index: int, /) -> np.ndarray: ...


@dataclass(frozen=True)
class Classes:
    """Class names in id order; whether stored label maps hold 0 for "ignore" and the classes from 1 on."""

    names: tuple[str, ...]
    reduce_zero_label: bool


def load_classes(data: DataRecipe) -> Classes:
    """The class list that `data.label_set`, `data.classes` or `data.layout` names.

    Raises:
        RecipeError: none is given, or the name or the file is not valid.
    """
    label_set = _label_set(data)
    reduce_labels = label_set.reduce_zero_label if data.reduce_zero_label is None else data.reduce_zero_label
    return Classes(label_set.classes, reduce_labels)


def open_training_data(data: DataRecipe, classes: Classes) -> StoredPictures:
    """The training pictures; label maps hold the ids as stored.

    Raises:
        RecipeError: there are none, or a folder, file, split or column is missing; the message names it.
    """
    pictures = _open_part(data, "train", data.train, classes)
    if pictures is None:
        raise RecipeError(
            "data.train: missing (--train-images DIR --train-annotations DIR, or data.layout and --data-root)"
        )
    return pictures


def open_validation_data(data: DataRecipe, classes: Classes) -> StoredPictures | None:
    """The validation pictures as stored, or `None` if the recipe has none. Raises as `open_training_data`."""
    return _open_part(data, "validation", data.validation, classes)


def open_source(source: DataSource, root: str | None, classes: Classes, key: str) -> StoredPictures:
    """The pictures of one source, as stored.

    Args:
        root: folder that relative paths start at; the current one if `None`.
        key: what errors call the source, for example `data.train`.
    """
    try:
        if source.dataset is not None:
            return DatasetPictures(source, root, classes)
        assert source.images is not None  # DataSource checks both
        assert source.annotations is not None
        return SegmentationFolders(
            _resolve(source.images, root),
            _resolve(source.annotations, root),
            image_suffix=source.image_suffix,
            annotation_suffix=source.annotation_suffix,
            list_file=None if source.list_file is None else _resolve(source.list_file, root),
            num_labels=len(classes.names),
            ignore_index=IGNORE_INDEX,
            reduce_zero_label=classes.reduce_zero_label,
        )
    except (OSError, ValueError) as error:
        raise RecipeError(f"{key}: {error}") from error


class ClassIdPictures:
    """Stored pictures with their maps as class ids (int64, 255 = ignore): the one place where labels are reduced."""

    def __init__(self, stored: LabeledPictures, classes: Classes) -> None:
        self.stored = stored
        self.classes = classes

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, index: int) -> dict[str, Any]:
        item = self.stored[index]
        stored_map = np.asarray(item["segmentation_map"])
        ids = reduce_zero_label(stored_map) if self.classes.reduce_zero_label else stored_map.astype(np.int64)
        return {"image": item["image"], "segmentation_map": ids, "name": item["name"]}


class DatasetPictures:
    """Pictures of a data set of the `datasets` library: an image column and a column of one-channel label maps."""

    def __init__(self, source: DataSource, root: str | None, classes: Classes) -> None:
        from datasets import Dataset, load_dataset, load_from_disk

        assert source.dataset is not None
        local = _resolve(source.dataset, root)
        if local.is_dir() and any((local / name).is_file() for name in ("state.json", "dataset_dict.json")):
            loaded = load_from_disk(str(local))
        else:
            loaded = load_dataset(str(local) if local.is_dir() else source.dataset, split=source.split)
        if isinstance(loaded, Mapping):
            if source.split not in loaded:
                raise ValueError(f"{source.dataset}: expected a split among {sorted(loaded)}, found {source.split!r}")
            loaded = loaded[source.split]
        assert isinstance(loaded, Dataset)
        for column in (source.image_column, source.annotation_column):
            if column not in loaded.column_names:
                raise ValueError(f"{source.dataset}: expected a column among {loaded.column_names}, found {column!r}")
        self.rows = loaded
        self.annotations = loaded.select_columns([source.annotation_column])
        self.names = [f"{source.dataset}[{index}]" for index in range(len(loaded))]
        self.source = source
        self.classes = classes

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        name = self.names[index]
        image = _as_image(self.rows[index][self.source.image_column], name).convert("RGB")
        segmentation_map = self.read_annotation(index)
        if segmentation_map.shape != (image.height, image.width):
            raise ValueError(
                f"{name}: expected a label map of the picture's size {image.width}x{image.height}, found "
                f"{segmentation_map.shape[1]}x{segmentation_map.shape[0]}"
            )
        check_label_range(
            segmentation_map, len(self.classes.names), IGNORE_INDEX, self.classes.reduce_zero_label, source=name
        )
        return {"image": np.asarray(image), "segmentation_map": segmentation_map, "name": name}

    def read_annotation(self, index: int) -> np.ndarray:
        """Only the label map of a row, integer array (height, width), its ids not checked."""
        name = self.names[index]
        annotation = self.annotations[index][self.source.annotation_column]
        return read_label_map(_as_image(annotation, name), source=name)


def fingerprint(pictures: StoredPictures) -> str:
    """Tells one data set from another by its file names, to notice that a resumed run sees other pictures."""
    digest = hashlib.sha256("\n".join(pictures.names).encode()).hexdigest()
    return f"{len(pictures)} pictures, {digest[:16]}"


def check_label_maps(pictures: StoredPictures, classes: Classes, samples: int, key: str) -> str:
    """Read some label maps before training and say what they hold.

    Args:
        samples: how many, spread evenly over the data set; 0 checks nothing.
        key: what errors call the data.

    Raises:
        RecipeError: ids that are no class, or no labeled pixel at all; with the whole report and its suggestions.
    """
    if samples == 0:
        return "label maps not checked"
    try:
        report = check_labels(
            pictures,
            len(classes.names),
            ignore_index=IGNORE_INDEX,
            reduce_zero_label=classes.reduce_zero_label,
            max_files=samples,
        )
        report.raise_for_problems()
    except ValueError as error:
        raise RecipeError(f"{key}: {error}") from error
    return str(report)


def _label_set(data: DataRecipe) -> LabelSet:
    try:
        if data.classes is not None:
            return read_class_list(data.classes)
        if data.label_set is not None:
            return get_label_set(data.label_set)
        if data.layout is not None:
            return get_label_set(_layout(data.layout).label_set)
    except (OSError, ValueError) as error:
        raise RecipeError(f"data.{'classes' if data.classes is not None else 'label_set'}: {error}") from error
    raise RecipeError("data: expected label_set (a known name) or classes (a file; --classes FILE), found neither")


def _layout(name: str) -> Any:
    if name not in LAYOUTS:
        raise RecipeError(f"data.layout: expected one of {', '.join(LAYOUTS)}, found {name!r}")
    return LAYOUTS[name]


def _open_part(data: DataRecipe, part: str, source: DataSource | None, classes: Classes) -> StoredPictures | None:
    if data.layout is not None:
        layout = _layout(data.layout)
        name = layout.parts[0 if part == "train" else 1]
        source = DataSource(
            images=layout.images.format(part=name),
            annotations=layout.annotations.format(part=name),
            image_suffix=layout.image_suffix,
            annotation_suffix=layout.annotation_suffix,
            list_file=layout.list_file.format(part=name) if layout.list_file else None,
        )
    return None if source is None else open_source(source, data.root, classes, f"data.{part}")


def _resolve(path: str, root: str | None) -> Path:
    return Path(path).expanduser() if root is None else Path(root).expanduser() / path


def _as_image(value: Any, name: str) -> Image.Image:
    if isinstance(value, Image.Image):
        return value
    raise ValueError(f"{name}: expected a column of images (datasets.Image), found {type(value).__name__}")
