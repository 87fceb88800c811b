"""Evaluate a saved model on labeled photos at their own sizes: per-class table, mIoU, mAcc, aAcc.

segvit-hf evaluate --model DIR --images DIR --annotations DIR [--scales 0.5 1.0 1.5 --flip]
torchrun --nproc_per_node 2 -m segvit_hf.cli evaluate --model DIR --layout ade20k --data-root DIR --output FILE.json
"""

import argparse
import sys
from dataclasses import replace
from typing import Any

from accelerate import Accelerator
from transformers import PreTrainedModel

import segvit_hf  # noqa: F401 - registers the architectures with the Auto classes
from segvit_hf.cli.model_loading import load_saved_model
from segvit_hf.cli.path_arguments import path_argument
from segvit_hf.data.class_names import class_names
from segvit_hf.data.label_sets import LabelSet
from segvit_hf.training.data.datasets import ClassIdDataset
from segvit_hf.training.data.samples import SampleError
from segvit_hf.training.data.sources import (
    check_ignore_index,
    check_label_maps,
    load_label_set,
    open_validation_data,
)
from segvit_hf.training.evaluation import EvaluationResult, evaluate_model, ignore_index_of
from segvit_hf.training.process_group import leave_process_group
from segvit_hf.training.recipe import DataRecipe, DataSource
from segvit_hf.training.recipe_parsing import RecipeError
from segvit_hf.training.stopping import is_first_process


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the arguments of the command."""
    parser.description = "Evaluate a semantic-segmentation model."
    parser.add_argument(
        "--model", required=True, type=_text, metavar="DIR", help="saved model with its image processor"
    )
    parser.add_argument("--images", type=_text, metavar="DIR", help="folder of photos")
    parser.add_argument("--annotations", type=_text, metavar="DIR", help="folder of their label maps")
    parser.add_argument(
        "--image-suffix", default="", help="end of the photos' names that is not part of the pair's name"
    )
    parser.add_argument("--annotation-suffix", default="", help="the same for the label maps")
    parser.add_argument("--list-file", type=_text, metavar="FILE", help="names of the pairs to use, one a line")
    parser.add_argument("--layout", metavar="NAME", help="instead of folders: a known data set below --data-root")
    parser.add_argument("--data-root", type=_text, metavar="DIR")
    classes = parser.add_mutually_exclusive_group()
    classes.add_argument(
        "--classes", type=_text, metavar="FILE", help="class list, one name a line (default: the model's)"
    )
    classes.add_argument("--label-set", metavar="NAME", help="a known class list, for example ade20k")
    parser.add_argument(
        "--reduce-zero-label",
        action=argparse.BooleanOptionalAction,
        help="whether id 0 of the label maps means 'ignore' and classes count from 1 (default: what the label set "
        "says, without one what the model's image processor says)",
    )
    parser.add_argument(
        "--skip-unreadable", action="store_true", help="leave out photos that cannot be used, and count them"
    )
    parser.add_argument("--scales", type=float, nargs="+", default=[1.0], metavar="X", help="average these scales")
    parser.add_argument("--flip", action="store_true", help="average mirrored photos, too")
    parser.add_argument("--batch-size", type=int, default=1, metavar="N", help="photos at a time per process")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="loader processes per process")
    parser.add_argument("--mixed-precision", choices=("no", "fp16", "bf16"))
    parser.add_argument("--output", type=path_argument, metavar="FILE.json", help="write the result there")
    parser.set_defaults(run=run)


def _text(text: str) -> str:
    """A path or a name; an empty one comes from a shell variable that is not set."""
    path_argument(text)
    return text


def label_set_of(
    options: argparse.Namespace, data: DataRecipe, model: PreTrainedModel, image_processor: Any
) -> LabelSet:
    """The classes and what id 0 means, from the flags, else from the model.

    Raises:
        RecipeError: The class list has another length than the model's.
    """
    label_set = LabelSet(
        options.model,
        tuple(class_names(model.config).values()),
        reduce_zero_label=bool(getattr(image_processor, "do_reduce_labels", False)),
    )
    named = data.label_set is not None or data.layout is not None
    if data.classes is not None or named:
        given = load_label_set(data)
        if given.num_labels != label_set.num_labels:
            raise RecipeError(
                f"--classes / --label-set: expected the model's {label_set.num_labels} classes, found "
                f"{given.num_labels} classes."
            )
        # A bare list of names does not say what id 0 means: that stays the model's affair.
        label_set = given if named else replace(label_set, classes=given.classes)
    if options.reduce_zero_label is not None:
        label_set = replace(label_set, reduce_zero_label=options.reduce_zero_label)
    return label_set


def data_of(options: argparse.Namespace) -> DataRecipe:
    """The data section that the flags describe.

    Raises:
        ValueError: Flags are missing or exclude one another.
    """
    if options.layout is not None and options.data_root is None:
        raise ValueError("data-root: missing, the folders of the layout start there.")
    source = None
    if options.layout is None or options.images is not None or options.annotations is not None:
        source = DataSource(
            images=options.images,
            annotations=options.annotations,
            image_suffix=options.image_suffix,
            annotation_suffix=options.annotation_suffix,
            list_file=options.list_file,
        )
    return DataRecipe(
        root=options.data_root,
        layout=options.layout,
        validation=source,
        label_set=options.label_set,
        classes=options.classes,
        skip_unreadable=options.skip_unreadable,
    )


def evaluate(options: argparse.Namespace) -> EvaluationResult:
    """Loads, evaluates, prints the table on the main process and writes the JSON file."""
    try:
        data = data_of(options)
    except ValueError as error:
        raise RecipeError(f"--{error}") from error
    accelerator = Accelerator(mixed_precision=options.mixed_precision)
    try:
        model, image_processor = load_saved_model(options.model)
    except ValueError as error:
        raise RecipeError(f"--model {error}") from error
    label_set, ignore_index = label_set_of(options, data, model, image_processor), ignore_index_of(model.config)
    stored = open_validation_data(data, label_set, ignore_index)
    assert stored is not None  # data_of gives a source or a layout
    check_ignore_index(label_set, ignore_index)
    check_label_maps(
        stored, label_set, ignore_index, samples=50, key="--annotations", skip_unreadable=data.skip_unreadable
    )
    model.config.id2label = label_set.id2label
    result = evaluate_model(
        model.to(accelerator.device),
        image_processor,
        ClassIdDataset(stored, label_set, ignore_index),
        accelerator,
        batch_size=options.batch_size,
        workers=options.workers,
        scales=options.scales,
        flip=options.flip,
        skip_unreadable=data.skip_unreadable,
    )
    if accelerator.is_main_process:
        print(result.table())
        if options.output is not None:
            result.write_json(options.output)
    return result


def run(options: argparse.Namespace) -> int:
    """Evaluates; returns the exit status."""
    try:
        evaluate(options)
    except RecipeError as error:
        return _report(error, 2)
    except SampleError as error:
        leave_process_group()
        return _report(error, 1)
    leave_process_group()
    return 0


def _report(error: ValueError, status: int) -> int:
    """Prints a message, once also where several processes have it."""
    if is_first_process():
        print(f"error: {error}", file=sys.stderr)
    return status
