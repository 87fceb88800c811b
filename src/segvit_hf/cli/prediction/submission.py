"""`segvit-hf predict --submission`: label maps as an official evaluation server takes them, in one zip file."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segvit_hf.cli.prediction.inputs import PredictionInput
from segvit_hf.cli.prediction.outputs import FrameWriter
from segvit_hf.data.submissions import SubmissionFormat, SubmissionWriter
from segvit_hf.video import VideoReader


@dataclass(frozen=True)
class SubmissionOutput:
    """Adds the label map of every photo to a submission.

    Attributes:
        writer: The open submission.
    """

    writer: SubmissionWriter

    def write_photo(self, name: Path, photo: np.ndarray, label_map: np.ndarray) -> None:  # noqa: ARG002
        """Adds `<name>.png`, or what the server calls it."""
        self.writer.add(name.name, label_map)

    def video(self, name: Path, video: VideoReader) -> AbstractContextManager[FrameWriter]:  # noqa: ARG002
        """Never called: `check_submission_inputs` refuses videos."""
        raise ValueError(f"{name}: a submission is made of photos, found a video.")


def submission_file(output: Path, submission_format: SubmissionFormat) -> Path:
    """The zip file: `output` if it is called so, or one in the folder `output`."""
    return output if output.suffix.lower() == ".zip" else output / f"{submission_format.name}_submission.zip"


def check_submission_inputs(inputs: Sequence[PredictionInput], submission_format: SubmissionFormat) -> None:
    """Finds out before the first photo is segmented what the server would refuse.

    Raises:
        ValueError: A video, a name that is not of the test set, or two photos for one file.
    """
    sources: dict[str, Path] = {}
    for item in inputs:
        if item.is_video:
            raise ValueError(f"{item.path}: --submission takes photos, found a video.")
        file_name = submission_format.file_name(item.path.name)
        if file_name in sources:
            raise ValueError(
                f"{item.path}: would be {file_name} of the submission, and so would {sources[file_name]}."
            )
        sources[file_name] = item.path


def size_remark(writer: SubmissionWriter) -> str:
    """A warning about images that are not of the test set's size, or nothing."""
    names, size = writer.unexpected_sizes, writer.format.size
    if not names or size is None:
        return ""
    photos = "1 photo is" if len(names) == 1 else f"{len(names)} photos are"
    return f"{photos} not of {size[1]}x{size[0]} pixels, as the server expects: {', '.join(names[:3])}" + (
        ", ..." if len(names) > 3 else ""
    )


__all__ = ["SubmissionOutput", "check_submission_inputs", "size_remark", "submission_file"]
