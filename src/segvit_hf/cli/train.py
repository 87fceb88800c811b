"""Fine-tune a semantic-segmentation model from a recipe.

    accelerate launch training/finetune.py --config training/recipes/segvit-vit-b-ade20k.yaml --data-root DIR
    python training/finetune.py --config RECIPE --train-images DIR --train-annotations DIR --val-images DIR \
        --val-annotations DIR --classes classes.txt --init CONVERTED_MODEL

Writes into the output folder: recipe.yaml (as resolved), log.jsonl, tensorboard/, checkpoints/, best_model/, model/
and evaluation.json. The Auto classes load best_model and model.
"""

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

import torch
import yaml
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, set_seed

from segvit_hf._compat import disable_progress_bar
from segvit_hf.training.atomic_files import write_text
from segvit_hf.training.checkpoints import ResumeError
from segvit_hf.training.data.sources import (
    ClassIdPictures,
    check_label_maps,
    fingerprint,
    load_classes,
    open_training_data,
    open_validation_data,
)
from segvit_hf.training.loop import TrainingJob, train
from segvit_hf.training.model_building import build_model
from segvit_hf.training.recipe import Recipe, load_recipe
from segvit_hf.training.recipe_parsing import RecipeError
from segvit_hf.training.run_log import LOG_FILE, check_tensorboard

logger = logging.getLogger("segvit_hf.training")

# Flag -> the recipe field it sets.
_FIELDS = {
    "data_root": "data.root",
    "reduce_zero_label": "data.reduce_zero_label",
    "workers": "data.workers",
    "per_device_batch_size": "batch.per_device_size",
    "effective_batch_size": "batch.effective_size",
    "max_steps": "schedule.max_steps",
    "seed": "runtime.seed",
    "mixed_precision": "runtime.mixed_precision",
    "gradient_checkpointing": "runtime.gradient_checkpointing",
    "tensorboard": "logging.tensorboard",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the arguments; every flag is a short form of `--set section.field=value`."""
    parser.description = "Fine-tune a semantic-segmentation model."
    parser.add_argument("--config", required=True, metavar="RECIPE.yaml", help="the recipe")
    parser.add_argument("--output", metavar="DIR", help="output folder (default: outputs/NAME_OF_THE_RECIPE)")
    parser.add_argument("--resume", nargs="?", const="latest", metavar="latest|DIR", help="go on from a checkpoint")
    parser.add_argument(
        "--stop-at-step", type=_positive_integer, metavar="N", help="checkpoint and stop there, to resume later"
    )
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="SECTION.FIELD=VALUE")

    data = parser.add_argument_group("data")
    data.add_argument("--data-root", metavar="DIR", help="where the recipe's relative paths and its layout start")
    data.add_argument("--train-images", metavar="DIR", help="folder of training pictures")
    data.add_argument("--train-annotations", metavar="DIR", help="folder of their label maps")
    data.add_argument("--val-images", metavar="DIR")
    data.add_argument("--val-annotations", metavar="DIR")
    classes = data.add_mutually_exclusive_group()
    classes.add_argument("--classes", metavar="FILE", help="class list, one name a line")
    classes.add_argument("--label-set", metavar="NAME", help="a known class list, for example ade20k")
    data.add_argument(
        "--reduce-zero-label",
        action=argparse.BooleanOptionalAction,
        help="whether id 0 of the label maps means 'ignore' and classes count from 1",
    )
    data.add_argument("--workers", type=int, metavar="N", help="loader processes per training process")

    model = parser.add_argument_group("model")
    start = model.add_mutually_exclusive_group()
    start.add_argument("--init", metavar="DIR", help="start from this model (any number of classes)")
    start.add_argument("--encoder-weights", metavar="NAME|FILE", help="ImageNet weights: a timm name or a local file")

    course = parser.add_argument_group("run")
    course.add_argument("--max-steps", type=int, metavar="N", help="length of the schedule")
    course.add_argument("--per-device-batch-size", type=int, metavar="N")
    course.add_argument("--effective-batch-size", type=int, metavar="N", help="over all devices and accumulation")
    course.add_argument("--seed", type=int, metavar="N")
    course.add_argument("--mixed-precision", choices=("no", "fp16", "bf16"))
    course.add_argument("--gradient-checkpointing", action=argparse.BooleanOptionalAction)
    course.add_argument("--tensorboard", action=argparse.BooleanOptionalAction)
    parser.set_defaults(run=run)


def _positive_integer(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, found {value}")
    return value


def recipe_fields(arguments: argparse.Namespace) -> dict[str, Any]:
    """The recipe fields that the flags set, by dotted key. Paths on the command line start at the current folder."""
    given = {name: value for name, value in vars(arguments).items() if value is not None}
    fields = {key: given[name] for name, key in _FIELDS.items() if name in given}
    for part, key in (("train", "data.train"), ("val", "data.validation")):
        folders = {name: given[f"{part}_{name}"] for name in ("images", "annotations") if f"{part}_{name}" in given}
        if len(folders) == 1:
            missing = ({"images", "annotations"} - set(folders)).pop()
            raise RecipeError(f"--{part}-{missing}: missing, --{part}-{next(iter(folders))} is given")
        if folders:
            # One's own folders replace the recipe's data set as a whole.
            if part == "train":
                fields |= {"data.layout": None, "data.validation": None}
            fields[key] = {name: str(Path(folder).absolute()) for name, folder in folders.items()}
    if "val_images" in given and "train_images" not in given:
        fields["data.layout"] = None
    if "classes" in given:
        fields |= {"data.classes": str(Path(given["classes"]).absolute()), "data.label_set": None}
    if "label_set" in given:
        fields |= {"data.label_set": given["label_set"], "data.classes": None}
    if "init" in given:
        fields |= {"model.init": given["init"], "model.encoder_weights": None}
    if "encoder_weights" in given:
        fields |= {"model.encoder_weights": given["encoder_weights"], "model.init": None}
    return fields


def build_accelerator(recipe: Recipe, output: Path) -> Accelerator:
    """One accelerator per process; data are split by `TrainingBatches`, not by it."""
    return Accelerator(
        mixed_precision=recipe.runtime.mixed_precision,
        log_with="tensorboard" if recipe.logging.tensorboard else None,
        project_dir=str(output),
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=recipe.runtime.find_unused_parameters)],
    )


def prepare_job(recipe: Recipe, output: Path) -> TrainingJob:
    """Open and check the data, build the model.

    Raises:
        RecipeError: something in the recipe does not fit the data or the model.
    """
    classes = load_classes(recipe.data)
    training = open_training_data(recipe.data, classes)
    logger.info(
        "training data: %s", check_label_maps(training, classes, recipe.data.label_check_samples, "data.train")
    )
    validation = open_validation_data(recipe.data, classes)
    if validation is not None:
        report = check_label_maps(validation, classes, recipe.data.label_check_samples, "data.validation")
        logger.info("validation data: %s", report)
    set_seed(recipe.runtime.seed)
    built = build_model(recipe, classes.names, classes.reduce_zero_label)
    parameters = sum(parameter.numel() for parameter in built.model.parameters())
    logger.info("model: %s, %.2f M parameters", type(built.model).__name__, parameters / 1e6)
    if built.newly_initialized:
        logger.info("newly initialized for %d classes: %s", len(classes.names), ", ".join(built.newly_initialized))
    return TrainingJob(
        recipe=recipe,
        model=built.model,
        image_processor=built.image_processor,
        training_pictures=ClassIdPictures(training, classes),
        validation_pictures=None if validation is None else ClassIdPictures(validation, classes),
        output=output,
        identity={"class_names": list(classes.names), "training_pictures": fingerprint(training)},
    )


def check_output(output: Path, resume: str | None) -> None:
    """Raises:
    ResumeError: the folder holds another run and it is not to be resumed.
    """
    if resume is None and any((output / name).exists() for name in (LOG_FILE, "checkpoints", "model")):
        raise ResumeError(f"--output {output}: holds a run already; go on with it (--resume) or choose another folder")


def run(options: argparse.Namespace) -> int:
    """Build and train; returns the exit status."""
    output = Path(options.output or Path("outputs") / Path(options.config).stem)
    try:
        recipe = load_recipe(options.config, options.overrides, recipe_fields(options))
        check_tensorboard(recipe.logging.tensorboard)
        check_output(output, options.resume)
        accelerator = build_accelerator(recipe, output)
        level = logging.INFO if accelerator.is_main_process else logging.ERROR
        logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
        logging.getLogger("segvit_hf.training").setLevel(level)
        disable_progress_bar()  # of writing weights; the training loop has its own
        recipe.batch.accumulation_steps(accelerator.num_processes)
        job = prepare_job(recipe, output)
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            write_text(output / "recipe.yaml", yaml.safe_dump(recipe.to_dict(), sort_keys=False))
        train(job, accelerator, options.resume, options.stop_at_step)
    except (RecipeError, ResumeError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    logger.info("done: %s", output)
    return 0
