"""A continual run: one training run per step, each from the model that the last one ended with."""

import dataclasses
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from accelerate.utils import set_seed
from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation, PreTrainedModel

from segvit_hf._compat import enable_gradient_checkpointing
from segvit_hf.data.label_sets import LabelSet
from segvit_hf.files import write_text
from segvit_hf.training.checkpoint_state import ResumeError
from segvit_hf.training.checkpoints import list_checkpoints
from segvit_hf.training.continual.distillation import Distillation
from segvit_hf.training.continual.plan import ContinualPlan, later_recipe, step_classes
from segvit_hf.training.continual.report import ContinualReport, StepScores, read_report
from segvit_hf.training.continual.step_data import StepDataset, class_presence, select_samples
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
from segvit_hf.training.job import build_accelerator, resolved_yaml, set_up_messages
from segvit_hf.training.loop import Start, TrainingJob, train
from segvit_hf.training.model_building import build_config, build_model
from segvit_hf.training.optimization.parameter_groups import parameter_multipliers
from segvit_hf.training.process_group import leave_process_group
from segvit_hf.training.recipe import Recipe
from segvit_hf.training.recipe_parsing import RecipeError
from segvit_hf.training.run_log import check_tensorboard
from segvit_hf.training.stopping import RunInterrupted, named_write_errors

logger = logging.getLogger("segvit_hf.training")


def run_continual(recipe: Recipe, plan: ContinualPlan, output: Path, start: Start) -> ContinualReport:
    """Trains all steps of a plan (called by all processes) and returns the report.

    Writes `step-<number>/` into the output folder, each as `run_recipe` writes a run, and after each step
    `continual.json`, `report.md` and `report.png`. A run that goes on leaves complete steps as they are and resumes
    the one in progress from its checkpoint.

    Args:
        recipe: That of the first step; `plan.later_steps` says what differs afterwards.
        plan: Classes, method and setting.
        output: The folder.
        start: Whether the run goes on, and at which step of the schedule it pauses (in the step in progress).

    Raises:
        RecipeError: Recipe, plan and data do not fit one another.
        ResumeError: The folder holds another run.
        FloatingPointError, SampleError, RunInterrupted, WriteError: As `train`.
    """
    check_tensorboard(recipe.logging.tensorboard)
    report = _begin(plan, output, start)
    try:
        _ContinualRun(recipe, plan, output, start, report).run()
    except (SampleError, RunInterrupted):  # which all processes raise
        leave_process_group()
        raise
    leave_process_group()
    return report


def _begin(plan: ContinualPlan, output: Path, start: Start) -> ContinualReport:
    report = read_report(output)
    if start.resume is None:
        if report is not None or (output / "step-0").exists():
            raise ResumeError(
                f"--output {output}: expected a new folder, found a continual run; go on with it (--resume) or choose "
                "another one."
            )
        return ContinualReport(plan.to_dict())
    if start.resume != "latest":
        raise ResumeError(f"--resume {start.resume}: expected --resume without a folder with --continual.")
    if report is not None and report.plan != plan.to_dict():
        raise ResumeError(f"{output}: belongs to another plan: expected {report.plan}, found {plan.to_dict()}.")
    return report or ContinualReport(plan.to_dict())


@dataclass(frozen=True)
class _Data:
    """What all steps share."""

    label_set: LabelSet
    steps: list[list[int]]
    ignore_index: int
    training: StoredDataset
    validation: StoredDataset | None
    presence: np.ndarray


class _ContinualRun:
    """The steps, one after the other."""

    def __init__(
        self, recipe: Recipe, plan: ContinualPlan, output: Path, start: Start, report: ContinualReport
    ) -> None:
        self.recipe, self.plan, self.output, self.start, self.report = recipe, plan, output, start, report
        # Made once: the folder of logs and checkpoints is the step's.
        self.later_recipe = later_recipe(recipe, plan)
        self.data = _open_data(recipe, plan)

    def run(self) -> None:
        """Trains every step that is not complete."""
        for step in range(len(self.report.steps), len(self.data.steps)):
            result, accelerator = self._train_step(step)
            is_complete = (self._folder(step) / "model").exists()
            accelerator.wait_for_everyone()
            if not is_complete:  # stopped early, as it was told
                return
            self.report.steps.append(self._scores(step, result))
            if accelerator.is_main_process:
                with named_write_errors(self.output):
                    self.report.write(self.output)
            accelerator.wait_for_everyone()

    def _train_step(self, step: int) -> tuple[EvaluationResult | None, Accelerator]:
        recipe = _of_step(self.recipe if step == 0 else self.later_recipe, step)
        folder = self._folder(step)
        accelerator = build_accelerator(recipe, folder)
        set_up_messages(accelerator.is_main_process)
        recipe.batch.accumulation_steps(accelerator.num_processes)
        logger.info("step %d of %d: %s", step, len(self.data.steps) - 1, ", ".join(self._names(step)))
        set_seed(recipe.runtime.seed)
        model, image_processor = self._model(step, recipe)
        recipe = _with_fitting_groups(recipe, model)
        indices = select_samples(self.data.presence, self.data.steps, step, self.plan.setting)
        if not indices:
            raise RecipeError(f"steps: step {step}: expected photos with its classes, found none.")
        logger.info("step %d: %d of %d photos", step, len(indices), len(self.data.training.names))
        job = TrainingJob(
            recipe=recipe,
            model=model,
            image_processor=image_processor,
            training_data=self._dataset(self.data.training, indices, self._ids(step, step + 1)),
            validation_data=self._validation(step),
            output=folder,
            identity=self._identity(step, indices),
        )
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            with named_write_errors(folder / "recipe.yaml"):
                write_text(folder / "recipe.yaml", resolved_yaml(recipe))
        goes_on = bool(list_checkpoints(folder / "checkpoints")) and self.start.resume is not None
        start = dataclasses.replace(self.start, resume="latest" if goes_on else None)
        return train(job, accelerator, start), accelerator

    def _model(self, step: int, recipe: Recipe) -> tuple[PreTrainedModel, Any]:
        if step == 0:
            first = _subset(self.data.label_set, self.data.steps[0])
            built = build_model(recipe, build_config(recipe, first), first)
            return built.model, built.image_processor
        previous = self._folder(step - 1) / "model"
        model = AutoModelForSemanticSegmentation.from_pretrained(previous)
        if not hasattr(model, "add_classes"):
            raise RecipeError(f"model.type: expected a model with class queries, found {model.config.model_type!r}.")
        try:
            model.add_classes(self._names(step), share_decoder=self.plan.shares_decoder)
        except ValueError as error:
            raise RecipeError(f"steps: step {step}: {error}") from error
        self._apply_method(model, step)
        if recipe.runtime.gradient_checkpointing:
            enable_gradient_checkpointing(model)
        return model.train(), AutoImageProcessor.from_pretrained(previous)

    def _apply_method(self, model: Any, step: int) -> None:
        if self.plan.method == "frozen":
            model.freeze_older_classes()
        elif self.plan.method == "finetuned":
            if hasattr(model.config, "first_supervised_class"):
                model.config.first_supervised_class = 0
        else:
            if not getattr(model.config, "shared_class_head", False) or model.config.decoder_type != "atm":
                raise RecipeError(
                    "method: expected frozen or finetuned, for distillation is that of SegViTv2's head "
                    "(shared_class_head, no token pyramid), found distilled."
                )
            model.encoder.requires_grad_(False)
            folders = [self._folder(earlier) / "model" for earlier in range(step)]
            teachers = [AutoModelForSemanticSegmentation.from_pretrained(folder).decoder for folder in folders]
            Distillation(model.config, teachers, self.plan.distillation).attach(model.decoder)

    def _scores(self, step: int, result: EvaluationResult | None) -> StepScores:
        counts = [len(classes) for classes in self.data.steps[: step + 1]]
        return StepScores.from_confusion(self._names(step), counts, None if result is None else result.matrix)

    def _validation(self, step: int) -> StepDataset | None:
        validation = self.data.validation
        if validation is None:
            return None
        return self._dataset(validation, list(range(len(validation.names))), self._ids(0, step + 1))

    def _dataset(self, stored: StoredDataset, indices: list[int], model_ids: dict[int, int]) -> StepDataset:
        data = self.data
        return StepDataset(
            ClassIdDataset(stored, data.label_set, data.ignore_index), indices, model_ids, data.ignore_index
        )

    def _ids(self, first: int, last: int) -> dict[int, int]:
        """The model's id by that of the data, for the classes of steps `first` to `last`, which is excluded."""
        order = [class_id for classes in self.data.steps for class_id in classes]
        shown = {class_id for classes in self.data.steps[first:last] for class_id in classes}
        return {class_id: index for index, class_id in enumerate(order) if class_id in shown}

    def _identity(self, step: int, indices: list[int]) -> dict[str, Any]:
        seen = [name for earlier in range(step + 1) for name in self._names(earlier)]
        names = [self.data.training.names[index] for index in indices]
        return {"class_names": seen, "training_pictures": fingerprint(names), "continual": self.plan.to_dict()}

    def _names(self, step: int) -> list[str]:
        return [self.data.label_set.classes[class_id] for class_id in self.data.steps[step]]

    def _folder(self, step: int) -> Path:
        return self.output / f"step-{step}"


def _open_data(recipe: Recipe, plan: ContinualPlan) -> _Data:
    label_set = load_label_set(recipe.data)
    steps = step_classes(plan, label_set)
    ignore_index = ignore_index_of(build_config(recipe, label_set))
    check_ignore_index(label_set, ignore_index)
    training = open_training_data(recipe.data, label_set, ignore_index)
    validation = open_validation_data(recipe.data, label_set, ignore_index)
    for part, dataset in (("train", training), ("validation", validation)):
        if dataset is not None:
            samples, skip = recipe.data.label_check_samples, recipe.data.skip_unreadable
            check_label_maps(dataset, label_set, ignore_index, samples, f"data.{part}", skip_unreadable=skip)
    presence = class_presence(training, label_set, ignore_index)
    return _Data(label_set, steps, ignore_index, training, validation, presence)


def _subset(label_set: LabelSet, classes: list[int]) -> LabelSet:
    # Without colors: they would be too few for the classes to come.
    names = tuple(label_set.classes[class_id] for class_id in classes)
    return dataclasses.replace(label_set, classes=names, palette=())


def _of_step(recipe: Recipe, step: int) -> Recipe:
    """The same with random numbers of the step's own."""
    return dataclasses.replace(recipe, runtime=dataclasses.replace(recipe.runtime, seed=recipe.runtime.seed + step))


def _with_fitting_groups(recipe: Recipe, model: PreTrainedModel) -> Recipe:
    """The recipe without rules for parameters that are frozen, which would decide nothing."""
    optimizer = recipe.optimizer
    names = [name for name, _ in model.named_parameters()]
    parameter_multipliers(names, optimizer.parameter_groups)  # a misspelt rule is still an error
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    rules, left = [], trained
    for rule in optimizer.parameter_groups:
        decided = [name for name in left if re.search(rule.match, name)]
        left = [name for name in left if name not in decided]
        rules += [rule] if decided else []
    if not any(name.startswith("encoder.") for name in trained):
        optimizer = dataclasses.replace(optimizer, layer_decay=None)
    return dataclasses.replace(recipe, optimizer=dataclasses.replace(optimizer, parameter_groups=tuple(rules)))


__all__ = ["run_continual"]
