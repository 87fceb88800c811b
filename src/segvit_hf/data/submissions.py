"""Label maps in the form that the official evaluation servers of Cityscapes and ADE20K take: PNGs in one zip file."""

import io
import re
import zipfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from PIL import Image

from segvit_hf.data.label_sets import get_label_set
from segvit_hf.files import atomic_path

# Beginning of every file name of Cityscapes: city, sequence, frame.
_CITYSCAPES_NAME = re.compile(r"(?P<key>[A-Za-z-]+_\d{6}_\d{6})(_.*)?")
# The `id` that cityscapesScripts' table of labels has for each of the 19 classes of training, in their order.
_CITYSCAPES_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)


@dataclass(frozen=True)
class SubmissionFormat:
    """What one server expects.

    Attributes:
        name: On the command line.
        label_set: The classes, by their name for `get_label_set`.
        file_ids: The gray value that stands for each class.
        size: (height, width) of every image of the test set, `None` if they differ.
    """

    name: str
    label_set: str
    file_ids: tuple[int, ...]
    size: tuple[int, int] | None = None

    def file_name(self, image_name: str) -> str:
        """The name of the PNG for an image, given by its own name with or without ending.

        Raises:
            ValueError: If an image of the test set is not called so.
        """
        stem = Path(image_name).name
        if Path(stem).suffix.lower() in Image.registered_extensions():
            stem = Path(stem).stem
        if self.name != "cityscapes":
            return f"{stem}.png"
        match = _CITYSCAPES_NAME.fullmatch(stem)
        if match is None:
            raise ValueError(
                f"{image_name}: expected a name of Cityscapes such as berlin_000000_000019_leftImg8bit.png (city, "
                "sequence, frame): the server finds images by it."
            )
        return f"{match['key']}_labelIds.png"

    def check_classes(self, id2label: Mapping[int, str]) -> None:
        """Refuses a model whose classes are not those of the data set, in its order.

        Args:
            id2label: The model's classes. Names that say nothing (`LABEL_0`) are taken on trust.

        Raises:
            ValueError: There is another number of classes, or another class somewhere.
        """
        classes = get_label_set(self.label_set).classes
        if len(id2label) != len(classes):
            raise ValueError(
                f"--submission {self.name} needs a model with its {len(classes)} classes, found {len(id2label)}."
            )
        for index, name in enumerate(classes):
            found = str(id2label[index])
            if found != f"LABEL_{index}" and _simplified(found) != _simplified(name):
                raise ValueError(
                    f"--submission {self.name} needs a model with its classes in their order: class {index} is "
                    f"{name!r}, found {found!r}."
                )

    def encode(self, label_map: np.ndarray) -> np.ndarray:
        """Class ids (height, width) -> the gray values of the file, uint8.

        Raises:
            ValueError: If there is an id that is no class.
        """
        if label_map.size and (int(label_map.min()) < 0 or int(label_map.max()) >= len(self.file_ids)):
            raise ValueError(
                f"label map: expected ids from 0 to {len(self.file_ids) - 1}, found {int(label_map.min())} to "
                f"{int(label_map.max())}."
            )
        return np.asarray(self.file_ids, dtype=np.uint8)[label_map]


SUBMISSION_FORMATS = {
    "cityscapes": SubmissionFormat("cityscapes", "cityscapes", _CITYSCAPES_IDS, size=(1024, 2048)),
    # 0 is for what is none of the 150 classes.
    "ade20k": SubmissionFormat("ade20k", "ade20k", tuple(range(1, 151))),
}


class SubmissionWriter:
    """Writes a submission, image by image.

    A context manager: the zip file takes its name when the block succeeds, and is removed if it does not.

    Args:
        path: The zip file; its parent folders are made.
        submission_format: The server's.
    """

    def __init__(self, path: str | Path, submission_format: SubmissionFormat) -> None:
        self.path = Path(path)
        self.format = submission_format
        self.unexpected_sizes: list[str] = []

    def __enter__(self) -> "SubmissionWriter":
        with ExitStack() as stack:
            unfinished = stack.enter_context(atomic_path(self.path))
            # PNGs are compressed already.
            self._archive = stack.enter_context(zipfile.ZipFile(unfinished, "w", zipfile.ZIP_STORED))
            self._open_files = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open_files.__exit__(kind, error, trace)

    def add(self, image_name: str, label_map: np.ndarray) -> str:
        """Adds one image; returns the name of its file.

        Args:
            image_name: The image's file name, with or without ending.
            label_map: (height, width) class ids at the image's size.

        Raises:
            ValueError: A name that is not of the test set or there twice, or an id that is no class.
        """
        file_name = self.format.file_name(image_name)
        if file_name in self._archive.namelist():
            raise ValueError(f"{image_name}: a second image for {file_name} of the submission.")
        ids = self.format.encode(np.asarray(label_map))
        if self.format.size is not None and ids.shape != self.format.size:
            self.unexpected_sizes.append(image_name)
        file = io.BytesIO()
        Image.fromarray(ids).save(file, format="PNG")
        self._archive.writestr(file_name, file.getvalue())
        return file_name


def _simplified(name: str) -> str:
    """A class name without what spellings differ in."""
    return re.sub(r"[\s_-]+", "", name.split(";")[0].split(",")[0]).lower()


__all__ = ["SUBMISSION_FORMATS", "SubmissionFormat", "SubmissionWriter"]
