"""A training run from its recipe: check what can be checked, open the data, build the model, train."""

import logging
import sys
from pathlib import Path

import yaml
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, set_seed

from segvit_hf._compat import disable_progress_bar
from segvit_hf.data.label_sets import LabelSet
from segvit_hf.files import write_text
from segvit_hf.training.checkpoint_state import ResumeError
from segvit_hf.training.data.datasets import ClassIdDataset, StoredDataset, fingerprint
from segvit_hf.training.data.samples import SampleError
from segvit_hf.training.data.sources import (
    check_ignore_index,
    check_label_maps,
    load_label_set,
    open_training_data,
    open_validation_data,
)
from segvit_hf.training.evaluation import EvaluationResult, ignore_index_of
from segvit_hf.training.loop import Start, TrainingJob, train
from segvit_hf.training.model_building import BuiltModel, build_config, build_model
from segvit_hf.training.process_group import leave_process_group
from segvit_hf.training.recipe import Recipe
from segvit_hf.training.run_log import check_tensorboard
from segvit_hf.training.stopping import RunInterrupted, named_write_errors

logger = logging.getLogger("segvit_hf.training")


def run_recipe(recipe: Recipe, output: Path, start: Start) -> EvaluationResult | None:
    """Trains what a recipe describes (called by all processes) and returns the last evaluation.

    Writes into the output folder: recipe.yaml (as resolved), log.jsonl, tensorboard/, checkpoints/, best_model/,
    model/ and evaluation.json. The Auto classes load best_model and model.

    Args:
        recipe: Everything that decides the result.
        output: The folder.
        start: Where the run begins and where it pauses.

    Raises:
        RecipeError: Something in the recipe does not fit the data, the model or the number of processes.
        ResumeError: The folder holds another run, or there is no fitting checkpoint.
        FloatingPointError, SampleError, RunInterrupted, WriteError: As `train`.
    """
    check_tensorboard(recipe.logging.tensorboard)
    if start.resume is None:
        check_output(output)
    accelerator = build_accelerator(recipe, output)
    set_up_messages(accelerator.is_main_process)
    recipe.batch.accumulation_steps(accelerator.num_processes)  # an error now, not after the model is built
    job = prepare_job(recipe, output)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        with named_write_errors(output / "recipe.yaml"):
            write_text(output / "recipe.yaml", resolved_yaml(recipe))
    try:
        result = train(job, accelerator, start)
    except (SampleError, RunInterrupted):  # which all processes raise
        leave_process_group()
        raise
    leave_process_group()
    logger.info("done: %s", output)
    return result


def resolved_yaml(recipe: Recipe) -> str:
    """A recipe with every value written out, as YAML that `load_recipe` reads."""
    return yaml.safe_dump(recipe.to_dict(), sort_keys=False, default_flow_style=None, width=119)


def check_output(output: Path) -> None:
    """Refuses to write over another run: a folder with a checkpoint or a model.

    A run that ended before its first checkpoint leaves nothing to go on from. It can be started again in its folder;
    its recipe and its log are replaced.

    Raises:
        ResumeError: The folder holds a run.
    """
    found = [output / name for name in ("model", "best_model") if (output / name).exists()]
    found += sorted(output.glob("checkpoints/step-*"))[-1:]
    if found:
        raise ResumeError(
            f"--output {output}: expected a new folder, found a run ({', '.join(path.name for path in found)}); go on "
            "with it (--resume) or choose another one."
        )


def build_accelerator(recipe: Recipe, output: Path) -> Accelerator:
    """One accelerator per process; data are split by `TrainingBatchSampler`, not by it."""
    return Accelerator(
        mixed_precision=recipe.runtime.mixed_precision,
        log_with="tensorboard" if recipe.logging.tensorboard else None,
        project_dir=str(output),
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=recipe.runtime.find_unused_parameters)],
    )


def prepare_job(recipe: Recipe, output: Path) -> TrainingJob:
    """Opens and checks the data, builds the model.

    Raises:
        RecipeError: Something in the recipe does not fit the data or the model.
    """
    label_set = load_label_set(recipe.data)
    config = build_config(recipe, label_set)
    ignore_index = ignore_index_of(config)
    check_ignore_index(label_set, ignore_index)
    training = open_training_data(recipe.data, label_set, ignore_index)
    validation = open_validation_data(recipe.data, label_set, ignore_index)
    for part, dataset in (("train", training), ("validation", validation)):
        if dataset is not None:
            samples = recipe.data.label_check_samples
            skip = recipe.data.skip_unreadable
            report = check_label_maps(dataset, label_set, ignore_index, samples, f"data.{part}", skip_unreadable=skip)
            logger.info("data.%s: %s", part, report)
    set_seed(recipe.runtime.seed)
    built = build_model(recipe, config, label_set)
    _log_model(built, label_set)

    def with_class_ids(dataset: StoredDataset) -> ClassIdDataset:
        return ClassIdDataset(dataset, label_set, ignore_index)

    return TrainingJob(
        recipe=recipe,
        model=built.model,
        image_processor=built.image_processor,
        training_data=with_class_ids(training),
        validation_data=None if validation is None else with_class_ids(validation),
        output=output,
        identity={"class_names": list(label_set.classes), "training_pictures": fingerprint(training.names)},
    )


def set_up_messages(is_main_process: bool) -> None:
    """Lets the first process say what it does, and the others only what goes wrong."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    logger.setLevel(logging.INFO if is_main_process else logging.ERROR)
    disable_progress_bar()  # of writing weights; the training loop has its own


def _log_model(built: BuiltModel, label_set: LabelSet) -> None:
    parameters = sum(parameter.numel() for parameter in built.model.parameters())
    logger.info("model: %s, %.2f M parameters", type(built.model).__name__, parameters / 1e6)
    if built.newly_initialized:
        names = ", ".join(built.newly_initialized)
        logger.info("newly initialized for %d classes: %s", label_set.num_labels, names)


__all__ = ["build_accelerator", "check_output", "prepare_job", "resolved_yaml", "run_recipe", "set_up_messages"]
