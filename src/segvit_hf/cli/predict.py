"""`segvit-hf predict`: overlays and label maps of a photo, a folder or a video."""

import argparse
import sys
import traceback
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tqdm import tqdm
from transformers import PreTrainedConfig

from segvit_hf.cli.model_loading import add_model_arguments, load_model
from segvit_hf.cli.path_arguments import path_argument
from segvit_hf.cli.prediction.inputs import PredictionInput, find_inputs, read_photo
from segvit_hf.cli.prediction.named_palette import find_palette
from segvit_hf.cli.prediction.outputs import FrameWriter, LabelMapOutput, OverlayOutput, PredictionOutput
from segvit_hf.cli.prediction.photo_segmenter import PhotoSegmenter
from segvit_hf.cli.prediction.results import Result, ResultPaths, check_results, result_paths
from segvit_hf.cli.prediction.submission import (
    SubmissionOutput,
    check_submission_inputs,
    size_remark,
    submission_file,
)
from segvit_hf.data.class_names import class_names
from segvit_hf.data.submissions import SUBMISSION_FORMATS, SubmissionWriter
from segvit_hf.video import VideoReader, require_av

_DESCRIPTION = """\
Segment a photo, all photos and videos below a folder, or a video frame by frame.

  segvit-hf predict MODEL photo.jpg overlay.png
  segvit-hf predict MODEL photos/ results/ --save both --palette ade20k
  segvit-hf predict MODEL film.mp4 overlaid.mp4
  segvit-hf predict MODEL leftImg8bit/test/ cityscapes.zip --submission cityscapes

OUTPUT is a folder, or for a single photo or video and one kind of result also a file. With --save both the folder gets
overlays/ and labels/. The label maps of a video are one PNG per frame. Files that exist are replaced only with
--overwrite, inputs never.

Files that cannot be read do not stop the others: they are listed at the end, and the exit status is 1."""

EXIT_OK = 0
EXIT_SOME_FAILED = 1


@dataclass
class PredictionReport:
    """What became of the inputs."""

    num_photos: int = 0
    num_videos: int = 0
    remarks: list[tuple[Path, str]] = field(default_factory=list)
    failures: list[tuple[Path, str]] = field(default_factory=list)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the arguments of the command."""
    parser.description = _DESCRIPTION
    add_model_arguments(parser)
    parser.add_argument("input", metavar="INPUT", type=path_argument, help="photo, folder or video")
    parser.add_argument("output", metavar="OUTPUT", type=path_argument, help="folder or file to write")
    parser.add_argument(
        "--save",
        choices=("overlay", "labels", "both"),
        help="what to write (default: overlay, or nothing else than the submission)",
    )
    parser.add_argument(
        "--submission",
        choices=sorted(SUBMISSION_FORMATS),
        help="write a zip file for the official evaluation server: Cityscapes' label ids under its file names, or "
        "ADE20K's ids 1 to 150. OUTPUT is its name, ending in .zip, or a folder",
    )
    parser.add_argument(
        "--palette",
        metavar="NAME|FILE",
        help="colors: ade20k, cityscapes, pascal_context, coco_stuff, or a file of `name red green blue` lines "
        "(default: those of the model, else generated ones)",
    )
    parser.add_argument("--alpha", type=float, default=0.5, help="opacity of the colors, 0 to 1 (default: 0.5)")
    parser.add_argument("--no-legend", action="store_true", help="leave out the list of classes beside the photo")
    parser.add_argument(
        "--scales", metavar="FACTOR", type=float, nargs="+", default=[1.0], help="sizes to average over (default: 1)"
    )
    parser.add_argument(
        "--size",
        metavar="PIXELS",
        type=int,
        nargs="+",
        help="resize photos to this short side and, as a second number, at most this long side (default: as the "
        "model's image processor does)",
    )
    parser.add_argument("--flip", action="store_true", help="average over the mirrored photo as well")
    parser.add_argument(
        "--max-side",
        metavar="PIXELS",
        type=int,
        help="segment larger photos at this size and enlarge the label map (default: as large as memory for the "
        "logits allows, 2 GiB)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace results that exist already")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the subcommand.

    Returns:
        The exit status: 0, or 1 if a file could not be segmented.

    Raises:
        ValueError, OSError: Wrong arguments, or a model that cannot be loaded.
    """
    _check_numbers(arguments)
    if arguments.save is None and arguments.submission is None:
        arguments.save = "overlay"
    inputs = find_inputs(arguments.input, arguments.output)
    if len(inputs) == 1 and inputs[0].is_video:
        require_av()
    paths = plan_results(arguments, inputs)
    model, image_processor = load_model(arguments)
    if arguments.size is not None:
        image_processor.do_resize = True
        image_processor.size = dict(zip(("shortest_edge", "longest_edge"), arguments.size, strict=False))
    if not image_processor.do_resize and any(scale != 1 for scale in arguments.scales):
        raise ValueError("--scales: this model's image processor keeps the photo's size; say --size, too.")
    segmenter = PhotoSegmenter(model, image_processor, tuple(arguments.scales), arguments.flip, arguments.max_side)
    with ExitStack() as stack:
        outputs = open_outputs(arguments, model.config, paths)
        submission = _open_submission(arguments, model.config, stack)
        if submission is not None:
            outputs.append(SubmissionOutput(submission))
        report = predict_all(
            inputs, segmenter, outputs, quiet=arguments.quiet, show_traceback=_wants_traceback(arguments)
        )
    if submission is not None:
        print(f"Submission{' (incomplete)' if report.failures else ''}: {submission.path}")
        if remark := size_remark(submission):
            print(remark, file=sys.stderr)
    return print_report(report, len(inputs), arguments.output)


def _open_submission(
    arguments: argparse.Namespace, config: PreTrainedConfig, stack: ExitStack
) -> SubmissionWriter | None:
    if arguments.submission is None:
        return None
    submission_format = SUBMISSION_FORMATS[arguments.submission]
    submission_format.check_classes(class_names(config))
    path = submission_file(arguments.output, submission_format)
    return stack.enter_context(SubmissionWriter(path, submission_format))


def plan_results(arguments: argparse.Namespace, inputs: Sequence[PredictionInput]) -> ResultPaths:
    """Where the results go; finds out before anything is read or written what cannot be or would lose files.

    Raises:
        ValueError: OUTPUT does not fit, or a result would take the place of a file that must stay.
    """
    output, results = arguments.output, []
    if arguments.submission is not None:
        submission_format = SUBMISSION_FORMATS[arguments.submission]
        check_submission_inputs(inputs, submission_format)
        if output.suffix.lower() == ".zip" and arguments.save is not None:
            raise ValueError(f"{output}: --save {arguments.save} writes more files: give a folder.")
        results.append(Result(submission_file(output, submission_format), arguments.input))
    paths = result_paths(arguments.input, output, arguments.save, inputs)
    results += [result for item in inputs for result in paths.results(item)]
    check_results(results, inputs, overwrite=arguments.overwrite)
    return paths


def open_outputs(
    arguments: argparse.Namespace, config: PreTrainedConfig, paths: ResultPaths
) -> list[PredictionOutput]:
    """The kinds of results that the arguments ask for.

    Raises:
        ValueError, FileNotFoundError: `--palette` does not fit.
    """
    names = class_names(config)
    palette = getattr(config, "palette", None)
    if arguments.palette is not None:
        palette = find_palette(arguments.palette, len(names))
    outputs: list[PredictionOutput] = []
    if "overlay" in paths.kinds:
        file = partial(paths.path, "overlay")
        outputs.append(OverlayOutput(file, names, palette, arguments.alpha, not arguments.no_legend))
    if "labels" in paths.kinds:
        outputs.append(LabelMapOutput(partial(paths.path, "labels"), len(names)))
    return outputs


def predict_all(
    inputs: Sequence[PredictionInput],
    segmenter: PhotoSegmenter,
    outputs: Sequence[PredictionOutput],
    *,
    quiet: bool = False,
    show_traceback: bool = False,
) -> PredictionReport:
    """Segments the inputs one by one; what goes wrong with one of them goes to the report."""
    report = PredictionReport()
    for item in tqdm(inputs, unit="file", disable=quiet or (len(inputs) == 1 and inputs[0].is_video)):
        try:
            if item.is_video:
                remarks = predict_video(item, segmenter, outputs, quiet=quiet)
                report.num_videos += 1
            else:
                remarks = predict_photo(item, segmenter, outputs)
                report.num_photos += 1
            report.remarks += [(item.path, remark) for remark in remarks]
        # Decoders raise all sorts of errors, and so does a device without memory; no file may stop the others.
        except Exception as error:
            if show_traceback:
                traceback.print_exc()
            report.failures.append((item.path, _first_line(error).removeprefix(f"{item.path}: ")))
    return report


def predict_photo(item: PredictionInput, segmenter: PhotoSegmenter, outputs: Sequence[PredictionOutput]) -> list[str]:
    """Segments one photo; returns remarks for the user."""
    photo, remarks = read_photo(item.path)
    label_map, size = segmenter(photo)
    for output in outputs:
        output.write_photo(item.name, photo, label_map)
    return remarks + _size_remarks(photo.shape[:2], size)


def predict_video(
    item: PredictionInput, segmenter: PhotoSegmenter, outputs: Sequence[PredictionOutput], *, quiet: bool = False
) -> list[str]:
    """Segments a video frame by frame, each for itself; holds one frame at a time. Returns remarks for the user.

    Raises:
        ValueError: The video is damaged. What could be read of it is written all the same where the decoder went on.
    """
    remarks: list[str] = []
    with VideoReader(item.path) as video:
        with ExitStack() as stack:
            writers: list[FrameWriter] = [stack.enter_context(output.video(item.name, video)) for output in outputs]
            for frame, time in tqdm(video, total=video.num_frames, unit="frame", disable=quiet, leave=False):
                label_map, size = segmenter(frame)
                for write in writers:
                    write(frame, label_map, time)
                remarks = _size_remarks(frame.shape[:2], size)
        if (damage := video.damage()) is not None:
            raise ValueError(f"the video is damaged: {damage}; what could be read was segmented.")
    return remarks


def _size_remarks(own_size: tuple[int, ...], size: tuple[int, int]) -> list[str]:
    if size == own_size:
        return []
    return [f"segmented at {size[1]}x{size[0]} instead of {own_size[1]}x{own_size[0]} (see --max-side)"]


def print_report(report: PredictionReport, num_inputs: int, output: Path) -> int:
    """Prints what was done; returns the exit status."""
    counts = [
        f"{number} {name}{'s' if number > 1 else ''}"
        for number, name in ((report.num_photos, "photo"), (report.num_videos, "video"))
        if number
    ]
    if counts:
        print(f"{' and '.join(counts)} segmented: {output}")
    for path, remark in report.remarks:
        print(f"{path}: {remark}", file=sys.stderr)
    if not report.failures:
        return EXIT_OK
    print(f"{len(report.failures)} of {num_inputs} files could not be segmented:", file=sys.stderr)
    for path, reason in report.failures:
        print(f"  {path}: {reason}", file=sys.stderr)
    return EXIT_SOME_FAILED


def _check_numbers(arguments: argparse.Namespace) -> None:
    if not 0 <= arguments.alpha <= 1:
        raise ValueError(f"--alpha must be from 0 to 1, found {arguments.alpha}.")
    if min(arguments.scales) <= 0:
        raise ValueError(f"--scales must be positive, found {arguments.scales}.")
    if arguments.size is not None and (len(arguments.size) > 2 or min(arguments.size) < 1):
        raise ValueError(f"--size: expected one or two positive numbers of pixels, found {arguments.size}.")
    if arguments.size is not None and len(arguments.size) == 2 and arguments.size[0] > arguments.size[1]:
        raise ValueError(f"--size: expected the short side first, found {arguments.size}.")
    if arguments.max_side is not None and arguments.max_side < 1:
        raise ValueError(f"--max-side must be at least 1, found {arguments.max_side}.")


def _wants_traceback(arguments: argparse.Namespace) -> bool:
    return bool(getattr(arguments, "traceback", False))


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


__all__ = ["PredictionReport", "add_arguments", "open_outputs", "predict_all", "run"]
