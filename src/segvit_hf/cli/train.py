"""Fine-tune a semantic-segmentation model from a recipe.

    segvit-hf train --config segvit-vit-b-ade20k --data-root DIR
    segvit-hf train --config RECIPE.yaml --train-images DIR --train-annotations DIR --val-images DIR \
        --val-annotations DIR --classes classes.txt --init CONVERTED_MODEL

`accelerate launch training/finetune.py` in a clone, or `accelerate launch -m segvit_hf.training`, take the same words.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from segvit_hf.cli.path_arguments import path_argument
from segvit_hf.training.checkpoint_state import ResumeError
from segvit_hf.training.data.samples import SampleError
from segvit_hf.training.job import resolved_yaml, run_recipe
from segvit_hf.training.loop import Start
from segvit_hf.training.recipe import load_recipe
from segvit_hf.training.recipe_files import list_recipes
from segvit_hf.training.recipe_parsing import RecipeError
from segvit_hf.training.stopping import RunInterrupted, WriteError, is_first_process

# Flag -> the recipe field it sets.
_FIELDS = {
    "data_root": "data.root",
    "reduce_zero_label": "data.reduce_zero_label",
    "workers": "data.workers",
    "skip_unreadable": "data.skip_unreadable",
    "per_device_batch_size": "batch.per_device_size",
    "effective_batch_size": "batch.effective_size",
    "max_steps": "schedule.max_steps",
    "seed": "runtime.seed",
    "mixed_precision": "runtime.mixed_precision",
    "freeze_encoder": "model.freeze_encoder",
    "lora": "model.lora_rank",
    "gradient_checkpointing": "runtime.gradient_checkpointing",
    "tensorboard": "logging.tensorboard",
}
# What a model starts from: one of them takes the place of the recipe's.
_SOURCES = {"init", "encoder_weights", "backbone"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the arguments; every flag is a short form of `--set section.field=value`."""
    parser.description = "Fine-tune a semantic-segmentation model."
    parser.add_argument(
        "--config", type=_text, metavar="RECIPE", help="the recipe: a file, or a name that --list shows"
    )
    parser.add_argument("--list", action="store_true", help="list the recipes that come with the package, and stop")
    parser.add_argument("--show-recipe", action="store_true", help="print the recipe with every value, and stop")
    parser.add_argument(
        "--output", type=path_argument, metavar="DIR", help="output folder (default: outputs/NAME_OF_THE_RECIPE)"
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="latest",
        type=_text,
        metavar="latest|DIR",
        help="go on from a checkpoint",
    )
    parser.add_argument(
        "--fall-back", action="store_true", help="where that checkpoint is damaged, go on from the one before it"
    )
    parser.add_argument(
        "--stop-at-step", type=_positive_integer, metavar="N", help="checkpoint and stop there, to resume later"
    )
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="SECTION.FIELD=VALUE")

    data = parser.add_argument_group("data")
    data.add_argument(
        "--data-root", type=_text, metavar="DIR", help="where the recipe's relative paths and its layout start"
    )
    data.add_argument("--train-images", type=_text, metavar="DIR", help="folder of training photos")
    data.add_argument("--train-annotations", type=_text, metavar="DIR", help="folder of their label maps")
    data.add_argument("--val-images", type=_text, metavar="DIR")
    data.add_argument("--val-annotations", type=_text, metavar="DIR")
    classes = data.add_mutually_exclusive_group()
    classes.add_argument("--classes", type=_text, metavar="FILE", help="class list, one name a line")
    classes.add_argument("--label-set", metavar="NAME", help="a known class list, for example ade20k")
    data.add_argument(
        "--reduce-zero-label",
        action=argparse.BooleanOptionalAction,
        help="whether id 0 of the label maps means 'ignore' and classes count from 1",
    )
    data.add_argument(
        "--skip-unreadable",
        action=argparse.BooleanOptionalAction,
        help="go on without photos that cannot be used, and count them (default: the first one ends the run)",
    )
    data.add_argument("--workers", type=int, metavar="N", help="loader processes per training process")

    model = parser.add_argument_group("model")
    start = model.add_mutually_exclusive_group()
    start.add_argument("--init", type=_text, metavar="DIR", help="start from this model (any number of classes)")
    start.add_argument(
        "--encoder-weights", type=_text, metavar="NAME|FILE", help="ImageNet weights: a timm name or a local file"
    )
    start.add_argument(
        "--backbone", type=_text, metavar="DIR|ID", help="a pretrained backbone as the encoder, for example DINOv2"
    )
    model.add_argument(
        "--freeze-encoder", action=argparse.BooleanOptionalAction, help="whether the backbone is not trained"
    )
    model.add_argument("--lora", type=int, metavar="RANK", help="train low-rank adapters in the backbone (peft)")

    course = parser.add_argument_group("run")
    course.add_argument("--max-steps", type=int, metavar="N", help="length of the schedule")
    course.add_argument("--per-device-batch-size", type=int, metavar="N")
    course.add_argument("--effective-batch-size", type=int, metavar="N", help="over all devices and accumulation")
    course.add_argument("--seed", type=int, metavar="N")
    course.add_argument("--mixed-precision", choices=("no", "fp16", "bf16"))
    course.add_argument("--gradient-checkpointing", action=argparse.BooleanOptionalAction)
    course.add_argument("--tensorboard", action=argparse.BooleanOptionalAction)
    parser.set_defaults(run=run)


def _text(text: str) -> str:
    """A path or a name; an empty one comes from a shell variable that is not set."""
    path_argument(text)
    return text


def _positive_integer(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, found {value}.")
    return value


def recipe_fields(arguments: argparse.Namespace) -> dict[str, Any]:
    """The recipe fields that the flags set, by dotted key. Paths on the command line start at the current folder."""
    given = {name: value for name, value in vars(arguments).items() if value is not None}
    fields = {key: given[name] for name, key in _FIELDS.items() if name in given}
    for part, key in (("train", "data.train"), ("val", "data.validation")):
        folders = {name: given[f"{part}_{name}"] for name in ("images", "annotations") if f"{part}_{name}" in given}
        if len(folders) == 1:
            missing = ({"images", "annotations"} - set(folders)).pop()
            raise RecipeError(f"--{part}-{missing}: missing, --{part}-{next(iter(folders))} is given.")
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
    if _SOURCES & set(given):
        fields |= {f"model.{name}": given.get(name) for name in sorted(_SOURCES)}
    return fields


def run(options: argparse.Namespace) -> int:
    """Trains, lists recipes or shows one; returns the exit status."""
    if options.list:
        print("\n".join(list_recipes()))
        return 0
    try:
        return _train_or_show(options)
    except (RecipeError, ResumeError, FloatingPointError) as error:
        return _report(f"error: {error}", 2)
    except (SampleError, WriteError) as error:
        return _report(f"error: {error}", 1)
    except RunInterrupted as interruption:
        return _report(str(interruption), 130)


def _train_or_show(options: argparse.Namespace) -> int:
    if options.config is None:
        raise RecipeError("--config: expected a recipe (a file or one of --list), found none.")
    if options.fall_back and options.resume is None:
        raise RecipeError("--fall-back: expected --resume with it, found none.")
    recipe = load_recipe(options.config, options.overrides, recipe_fields(options))
    if options.show_recipe:
        print(resolved_yaml(recipe), end="")
        return 0
    output = options.output or Path("outputs") / Path(options.config).stem
    run_recipe(recipe, output, Start(options.resume, options.fall_back, options.stop_at_step))
    return 0


def _report(message: str, status: int) -> int:
    """Prints a message, once also where several processes have it."""
    if is_first_process():
        print(message, file=sys.stderr)
    return status
