"""From a recipe's data section to the classes and to data sets of photos with label maps."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from segvit_hf.data.folders import LAYOUTS, SegmentationFolders
from segvit_hf.data.label_checks import check_labels
from segvit_hf.data.label_maps import DEFAULT_IGNORE_INDEX, class_ids
from segvit_hf.data.label_sets import LabelSet, get_label_set, read_class_list
from segvit_hf.training.data.datasets import HuggingFaceDataset, StoredDataset
from segvit_hf.training.recipe import DataRecipe, DataSource
from segvit_hf.training.recipe_parsing import RecipeError


def load_label_set(data: DataRecipe) -> LabelSet:
    """The classes that `data.label_set`, `data.classes` or `data.layout` names.

    Raises:
        RecipeError: None is given, or the name or the file is not valid.
    """
    label_set = _named_label_set(data)
    if data.reduce_zero_label is None:
        return label_set
    return replace(label_set, reduce_zero_label=data.reduce_zero_label)


def open_training_data(data: DataRecipe, label_set: LabelSet, ignore_index: int) -> StoredDataset:
    """The training data; label maps hold the ids as stored.

    Args:
        data: Where they are.
        label_set: The classes.
        ignore_index: Id that stands for no class.

    Raises:
        RecipeError: There are none, or a folder, file, split or column is missing; the message names it.
    """
    dataset = _open_part(data, "train", data.train, label_set, ignore_index)
    if dataset is None:
        raise RecipeError(
            "data.train: missing (--train-images DIR --train-annotations DIR, or data.layout and --data-root)."
        )
    return dataset


def open_validation_data(data: DataRecipe, label_set: LabelSet, ignore_index: int) -> StoredDataset | None:
    """The validation data as stored, or `None` if the recipe has none; otherwise as `open_training_data`."""
    return _open_part(data, "val", data.validation, label_set, ignore_index)


def open_source(
    source: DataSource, root: str | None, label_set: LabelSet, ignore_index: int
) -> SegmentationFolders | HuggingFaceDataset:
    """The data set of one source, as stored.

    Args:
        source: Two folders, or a data set of the `datasets` library.
        root: Folder that relative paths start at; the current one if `None`.
        label_set: The classes.
        ignore_index: Id that stands for no class.

    Raises:
        OSError: A folder or file is missing.
        ValueError: There are no photos, files without a partner, no such split or column.
    """
    if source.dataset is not None:
        return HuggingFaceDataset(source, _resolve(source.dataset, root), label_set, ignore_index)
    assert source.images is not None  # DataSource checks both
    assert source.annotations is not None
    return SegmentationFolders(
        _resolve(source.images, root),
        _resolve(source.annotations, root),
        image_suffix=source.image_suffix,
        annotation_suffix=source.annotation_suffix,
        list_file=None if source.list_file is None else _resolve(source.list_file, root),
        num_labels=label_set.num_labels,
        ignore_index=ignore_index,
        reduce_zero_label=label_set.reduce_zero_label,
    )


def check_ignore_index(label_set: LabelSet, ignore_index: int) -> None:
    """Refuses more classes than there are ids below the usual ignore index.

    Another one may be the id of a class: that class is then ignored, as somebody has written down.

    Raises:
        RecipeError: The default ignore index is the id of a class, which could never be learned.
    """
    if ignore_index == DEFAULT_IGNORE_INDEX and (
        ignore_index < label_set.num_labels
        or ignore_index in class_ids(label_set.num_labels, label_set.reduce_zero_label)
    ):
        raise RecipeError(
            f"data: expected at most {ignore_index - label_set.reduce_zero_label} classes, since the id "
            f"{ignore_index} means that a pixel has none, found {label_set.num_labels}; set "
            "model.config.semantic_loss_ignore_index to an id that is no class, for example 65535."
        )


def check_label_maps(
    dataset: StoredDataset,
    label_set: LabelSet,
    ignore_index: int,
    samples: int,
    key: str,
    *,
    skip_unreadable: bool = False,
) -> str:
    """Reads some label maps before training and says what they hold.

    Args:
        dataset: Whose maps are read.
        label_set: The classes.
        ignore_index: Id that stands for no class.
        samples: How many, spread evenly over the data set; 0 checks nothing.
        key: What errors call the data.
        skip_unreadable: Report what is wrong instead of refusing it.

    Raises:
        RecipeError: A map that cannot be read, ids that are no class, or no labeled pixel at all; with the whole
            report and its suggestions.
    """
    if samples == 0:
        return "label maps not checked"
    try:
        report = check_labels(
            dataset,
            label_set.num_labels,
            ignore_index=ignore_index,
            reduce_zero_label=label_set.reduce_zero_label,
            max_files=samples,
        )
        report.raise_for_problems()
    except (OSError, ValueError, TypeError) as error:
        if skip_unreadable:
            return f"to be skipped: {error}"
        raise RecipeError(f"{key}: {error}") from error
    return str(report)


def _named_label_set(data: DataRecipe) -> LabelSet:
    try:
        if data.classes is not None:
            return read_class_list(data.classes)
        if data.label_set is not None:
            return get_label_set(data.label_set)
    except (OSError, ValueError) as error:
        raise RecipeError(f"data.{'classes' if data.classes is not None else 'label_set'}: {error}") from error
    if data.layout is None:
        raise RecipeError(
            "data: expected label_set (a known name) or classes (a file; --classes FILE), found neither."
        )
    if data.layout not in LAYOUTS:
        raise RecipeError(f"data.layout: expected one of {', '.join(LAYOUTS)}, found {data.layout!r}.")
    return get_label_set(LAYOUTS[data.layout].label_set)


def _open_part(
    data: DataRecipe, part: Literal["train", "val"], source: DataSource | None, label_set: LabelSet, ignore_index: int
) -> StoredDataset | None:
    try:
        if data.layout is not None:
            return SegmentationFolders.from_layout(
                _layout_root(data),
                data.layout,
                part,
                num_labels=label_set.num_labels,
                ignore_index=ignore_index,
                reduce_zero_label=label_set.reduce_zero_label,
            )
        return None if source is None else open_source(source, data.root, label_set, ignore_index)
    except (OSError, ValueError) as error:
        raise RecipeError(f"data.{'train' if part == 'train' else 'validation'}: {error}") from error


def _layout_root(data: DataRecipe) -> Path:
    if data.root is None:
        raise ValueError(f"expected data.root (--data-root), where the folders of {data.layout!r} start, found none.")
    return Path(data.root).expanduser()


def _resolve(path: str, root: str | None) -> Path:
    return Path(path).expanduser() if root is None else Path(root).expanduser() / path


__all__ = [
    "check_ignore_index",
    "check_label_maps",
    "load_label_set",
    "open_source",
    "open_training_data",
    "open_validation_data",
]
