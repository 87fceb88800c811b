"""A data set of two folders: photos, and label maps of the same names."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from segvit_hf.data.label_maps import check_label_range, read_label_map
from segvit_hf.data.label_sets import get_label_set

_IMAGE_ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
_LABEL_ENDINGS = frozenset({".png", ".bmp", ".tif", ".tiff"})


@dataclass(frozen=True)
class FolderLayout:
    """Where a known data set keeps its files, relative to its root; `{part}` stands for one of `parts`.

    Attributes:
        label_set: Name for `get_label_set`.
        images: Folder of the photos.
        annotations: Folder of the label maps.
        image_suffix: What follows the common stem in the photos' file names.
        annotation_suffix: What follows it in the label maps' file names.
        parts: The data set's own names of the training and the validation part.
        list_file: File that lists the stems of a part, or None when the folders are the parts.
    """

    label_set: str
    images: str
    annotations: str
    image_suffix: str = ""
    annotation_suffix: str = ""
    parts: tuple[str, str] = ("train", "val")
    list_file: str | None = None


_PASCAL_CONTEXT = FolderLayout(
    "pascal_context",
    "JPEGImages",
    "SegmentationClassContext",
    list_file="ImageSets/SegmentationContext/{part}.txt",
)

# As MMSegmentation's preparation leaves them.
LAYOUTS: dict[str, FolderLayout] = {
    "ade20k": FolderLayout("ade20k", "images/{part}", "annotations/{part}", parts=("training", "validation")),
    "cityscapes": FolderLayout(
        "cityscapes", "leftImg8bit/{part}", "gtFine/{part}", "_leftImg8bit", "_gtFine_labelTrainIds"
    ),
    "pascal_context": _PASCAL_CONTEXT,
    "pascal_context_59": replace(_PASCAL_CONTEXT, label_set="pascal_context_59"),
    "pascal_context_voc": replace(_PASCAL_CONTEXT, label_set="pascal_context_voc"),
    "pascal_voc": FolderLayout(
        "pascal_voc", "JPEGImages", "SegmentationClass", list_file="ImageSets/Segmentation/{part}.txt"
    ),
    "coco_stuff_10k": FolderLayout(
        "coco_stuff_10k",
        "images/{part}",
        "annotations/{part}",
        annotation_suffix="_labelTrainIds",
        parts=("train2014", "test2014"),
    ),
    "coco_stuff_164k": FolderLayout(
        "coco_stuff_164k",
        "images/{part}",
        "annotations/{part}",
        annotation_suffix="_labelTrainIds",
        parts=("train2017", "val2017"),
    ),
}


class SegmentationFolders:
    """Photos and label maps in two folders, paired by their path below the folder without ending and suffix.

    Both folders are searched with their subfolders; pairs are sorted by name. Label maps are one-channel images whose
    values, or palette indices, are the ids; they are returned as they are in the file (the image processor's
    `do_reduce_labels` does the rest). Photos are turned as their EXIF orientation says.

    Args:
        images: Folder of photos.
        annotations: Folder of label maps.
        image_suffix: End of the photos' stems that is not part of the name, for example "_leftImg8bit"; files without
            it are left aside. Default "".
        annotation_suffix: The same for the label maps, for example "_gtFine_labelTrainIds". Default "".
        list_file: Text file with the names to use, one a line; all others are left aside. Default: all.
        num_labels: Number of classes; when given, ids out of range raise when a map is read. Default: no check.
        ignore_index: Id that stands for no class in the files (default 255).
        reduce_zero_label: The files hold 0 for no class and 1 to num_labels for the classes (default False).

    Raises:
        FileNotFoundError: A folder or the list file does not exist.
        ValueError: A folder without images, a name that occurs twice, or files without a partner.

    Example:
        >>> dataset = SegmentationFolders("photos", "maps", num_labels=11)
        >>> dataset[0]["image"].shape, dataset[0]["segmentation_map"].shape, dataset[0]["name"]
        ((360, 480, 3), (360, 480), '0001')
    """

    def __init__(
        self,
        images: str | Path,
        annotations: str | Path,
        *,
        image_suffix: str = "",
        annotation_suffix: str = "",
        list_file: str | Path | None = None,
        num_labels: int | None = None,
        ignore_index: int = 255,
        reduce_zero_label: bool = False,
    ) -> None:
        self.num_labels = num_labels
        self.ignore_index = ignore_index
        self.reduce_zero_label = reduce_zero_label
        names = _read_names(Path(list_file)) if list_file is not None else None
        image_paths = _files_by_name(Path(images), image_suffix, _IMAGE_ENDINGS, "images")
        label_paths = _files_by_name(Path(annotations), annotation_suffix, _LABEL_ENDINGS, "annotations")
        if names is not None:
            missing = [name for name in names if name not in image_paths or name not in label_paths]
            if missing:
                raise ValueError(
                    f"{list_file}: {len(missing)} of {len(names)} names have no photo in {images} or no label map in "
                    f"{annotations}: {_some(missing)}."
                )
            image_paths = {name: image_paths[name] for name in names}
            label_paths = {name: label_paths[name] for name in names}
        _refuse_unmatched(image_paths, label_paths, Path(images), Path(annotations))
        self.names: list[str] = sorted(image_paths)
        self.image_paths: list[Path] = [image_paths[name] for name in self.names]
        self.annotation_paths: list[Path] = [label_paths[name] for name in self.names]

    @classmethod
    def from_layout(
        cls,
        root: str | Path,
        layout: str,
        part: str = "train",
        *,
        num_labels: int | None = None,
        ignore_index: int = 255,
        reduce_zero_label: bool | None = None,
    ) -> "SegmentationFolders":
        """The training or validation part of a known data set below `root`.

        Args:
            root: The data set's folder.
            layout: A name in `LAYOUTS`.
            part: "train" or "val".
            num_labels: As in the constructor.
            ignore_index: As in the constructor.
            reduce_zero_label: As in the constructor; by default what the layout's label set says.

        Raises:
            FileNotFoundError: A folder or the list file does not exist.
            ValueError: An unknown layout or part, or as the constructor.
        """
        if layout not in LAYOUTS:
            raise ValueError(f"layout: expected one of {', '.join(LAYOUTS)}, found {layout!r}.")
        if part not in ("train", "val"):
            raise ValueError(f"part: expected 'train' or 'val', found {part!r}.")
        known = LAYOUTS[layout]
        if reduce_zero_label is None:
            reduce_zero_label = get_label_set(known.label_set).reduce_zero_label
        own_part = known.parts[("train", "val").index(part)]
        return cls(
            Path(root) / known.images.format(part=own_part),
            Path(root) / known.annotations.format(part=own_part),
            image_suffix=known.image_suffix,
            annotation_suffix=known.annotation_suffix,
            list_file=Path(root) / known.list_file.format(part=own_part) if known.list_file else None,
            num_labels=num_labels,
            ignore_index=ignore_index,
            reduce_zero_label=reduce_zero_label,
        )

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One pair.

        Returns:
            "image", a uint8 array (height, width, 3), RGB; "segmentation_map", an integer array (height, width);
            "name".

        Raises:
            ValueError: A file cannot be read, sizes differ, a label map is color-coded, or ids are out of range; the
                message names the file.
        """
        image = self._read_image(self.image_paths[index])
        path = self.annotation_paths[index]
        segmentation_map = read_label_map(path)
        if image.shape[:2] != segmentation_map.shape:
            raise ValueError(
                f"{path}: the label map is {_size(segmentation_map)} but its photo {self.image_paths[index]} is "
                f"{_size(image)} (width x height, after EXIF orientation)."
            )
        if self.num_labels is not None:
            check_label_range(
                segmentation_map, self.num_labels, self.ignore_index, self.reduce_zero_label, source=str(path)
            )
        return {"image": image, "segmentation_map": segmentation_map, "name": self.names[index]}

    def read_annotation(self, index: int) -> np.ndarray:
        """Only the label map of a pair, integer array (height, width), its ids not checked."""
        return read_label_map(self.annotation_paths[index])

    @staticmethod
    def _read_image(path: Path) -> np.ndarray:
        try:
            with Image.open(path) as file:
                return np.array(ImageOps.exif_transpose(file).convert("RGB"))
        # Each of PIL's readers has its own way to fail on a damaged file.
        except Exception as error:
            raise ValueError(f"{path}: the photo cannot be read: {error}.") from error


def _files_by_name(folder: Path, suffix: str, endings: frozenset[str], what: str) -> dict[str, Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f"the folder of {what}, {folder}, does not exist.")
    found: dict[str, Path] = {}
    for path, is_regular in sorted(_entries(folder)):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if hidden or path.suffix.lower() not in endings or not path.stem.endswith(suffix):
            continue
        if not is_regular:
            kind = "a link that leads nowhere" if not path.exists() else "a pipe, a socket or a device"
            raise ValueError(f"{path}: expected a file among the {what}, found {kind}.")
        stem = path.stem[: len(path.stem) - len(suffix)]
        name = (path.relative_to(folder).parent / stem).as_posix()
        if name in found:
            raise ValueError(f"{what}: {found[name]} and {path} have the same name {name!r}.")
        found[name] = path
    if not found:
        ends = ", ".join(f"*{suffix}{ending}" for ending in sorted(endings))
        raise ValueError(f"the folder of {what}, {folder}, holds no files {ends}.")
    return found


def _entries(folder: Path) -> Iterator[tuple[Path, bool]]:
    """All that is in a folder and its subfolders except these, and whether it is a file, which reading would end."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():  # also a link to one
                yield from _entries(Path(entry.path))
            else:
                yield Path(entry.path), entry.is_file()


def _refuse_unmatched(
    images: dict[str, Path], labels: dict[str, Path], image_folder: Path, label_folder: Path
) -> None:
    without_label = sorted(set(images) - set(labels))
    without_image = sorted(set(labels) - set(images))
    if not without_label and not without_image:
        return
    problems = []
    if without_label:
        problems.append(f"{len(without_label)} photos in {image_folder} have no label map: {_some(without_label)}")
    if without_image:
        problems.append(f"{len(without_image)} label maps in {label_folder} have no photo: {_some(without_image)}")
    if len(without_label) == len(images):
        problems.append("no name occurs in both folders; set image_suffix or annotation_suffix")
    else:
        problems.append("remove them, or give a list_file with the names to use")
    raise ValueError("; ".join(problems) + ".")


def _read_names(path: Path) -> list[str]:
    if not path.is_file():
        raise FileNotFoundError(f"the list of names {path} does not exist.")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"the list of names {path}: expected UTF-8 text, found: {error}.") from error
    names = [line.strip() for line in text.splitlines() if line.strip()]
    if not names:
        raise ValueError(f"the list of names {path} is empty.")
    return list(dict.fromkeys(names))


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"
