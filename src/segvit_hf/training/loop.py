"""The training loop: accumulate, clip, step, log, evaluate, save.

It knows no architecture: the model returns its own loss (and `losses`, its named parts), the recipe says the rest.
"""

import contextlib
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from tqdm.auto import tqdm
from transformers import PreTrainedModel

from segvit_hf.registration import add_remote_code
from segvit_hf.training.atomic_files import write_folder
from segvit_hf.training.checkpoints import find_checkpoint, load_checkpoint, read_state, save_checkpoint
from segvit_hf.training.data.loading import TrainingCrops, build_training_loader
from segvit_hf.training.data.sampling import SampleOrder, TrainingBatches
from segvit_hf.training.data.sources import LabeledPictures
from segvit_hf.training.evaluation import EvaluationResult, evaluate_model
from segvit_hf.training.optimization.batch_norm import share_running_statistics, synchronize_batch_norm
from segvit_hf.training.optimization.parameter_groups import build_optimizer
from segvit_hf.training.optimization.schedule import build_scheduler
from segvit_hf.training.recipe import Recipe
from segvit_hf.training.run_log import RunLog

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingJob:
    """What is trained on what. `training_pictures` and `validation_pictures`: maps of class ids. `identity`: JSON
    values that a checkpoint must agree with, for example the class names and which pictures were trained on.
    """

    recipe: Recipe
    model: PreTrainedModel
    image_processor: Any
    training_pictures: LabeledPictures
    validation_pictures: LabeledPictures | None
    output: Path
    identity: dict[str, Any]


def train(
    job: TrainingJob, accelerator: Accelerator, resume: str | None = None, stop_at_step: int | None = None
) -> EvaluationResult | None:
    """Train, save `<output>/model` (and `best_model`), and return the last evaluation.

    Args:
        resume: `"latest"` or the path of a checkpoint to go on from.
        stop_at_step: stop there, with a checkpoint, although the schedule is longer; a resumed run goes on as if
            nothing had happened. The result is then not final: no `model` folder is written.
    """
    recipe = job.recipe
    last_step = min(recipe.schedule.max_steps, stop_at_step or recipe.schedule.max_steps)
    accumulation_steps = recipe.batch.accumulation_steps(accelerator.num_processes)
    synchronize_batch_norm(job.model, accelerator.num_processes, accelerator.device)
    # The schedule is not prepared: accelerate would step it once per process.
    model, optimizer = accelerator.prepare(job.model, build_optimizer(job.model, recipe.optimizer))
    first_step, best = 0, -math.inf
    # Every process needs its own dropout.
    set_seed(recipe.runtime.seed + 1 + accelerator.process_index)
    if resume is not None:
        checkpoint = find_checkpoint(job.output / "checkpoints", resume)
        state = read_state(checkpoint, recipe, job.identity)
        load_checkpoint(accelerator, checkpoint, state["num_processes"])
        first_step = state["step"]
        best = -math.inf if state["progress"]["best_mean_iou"] is None else state["progress"]["best_mean_iou"]
        logger.info("resumed from %s after %d steps", checkpoint, first_step)
    scheduler = build_scheduler(optimizer.optimizer, recipe.schedule, completed_steps=first_step)
    log = RunLog(accelerator, job.output, first_step, recipe.logging.tensorboard)
    batches = _training_batches(job, accelerator, accumulation_steps, first_step, last_step)
    meter = LossMeter(accelerator)
    result: EvaluationResult | None = None
    evaluated_at = -1

    model.train()
    progress = tqdm(
        range(first_step, last_step), desc="train", disable=not accelerator.is_local_main_process, dynamic_ncols=True
    )
    for step in progress:
        for micro_step in range(accumulation_steps):
            batch = {name: value.to(accelerator.device, non_blocking=True) for name, value in next(batches).items()}
            # Gradients are exchanged once per optimizer step.
            last_micro_step = micro_step == accumulation_steps - 1
            with contextlib.nullcontext() if last_micro_step else accelerator.no_sync(model):
                outputs = model(**batch)
                meter.add(outputs.loss, outputs.losses if "losses" in outputs else None, accumulation_steps)
                accelerator.backward(outputs.loss / accumulation_steps)
        gradient_norm = None
        if recipe.optimizer.max_gradient_norm is not None:
            gradient_norm = accelerator.clip_grad_norm_(model.parameters(), recipe.optimizer.max_gradient_norm)
        learning_rates = {group["name"]: group["lr"] for group in optimizer.param_groups}
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()

        done = step + 1
        if done % recipe.logging.every_steps == 0 or done == last_step:
            values = meter.means(done)
            if gradient_norm is not None:
                values["gradient_norm"] = float(gradient_norm)
            log.write(done, {**values, **{f"learning_rate/{name}": rate for name, rate in learning_rates.items()}})
            progress.set_postfix(loss=f"{values['loss']:.3f}", refresh=False)
        if job.validation_pictures is not None and _is_due(
            done, recipe.evaluation.every_steps, recipe.schedule.max_steps
        ):
            result, evaluated_at = _evaluate(job, accelerator, log, done), done
            if recipe.evaluation.keep_best and result.mean_iou > best:
                best = result.mean_iou
                save_model(accelerator, model, job.image_processor, job.output / "best_model")
        if _is_due(done, recipe.checkpoint.every_steps, None) or (done == last_step and stop_at_step is not None):
            save_checkpoint(
                accelerator,
                job.output / "checkpoints",
                done,
                recipe,
                keep_last=recipe.checkpoint.keep_last,
                identity=job.identity,
                progress={"best_mean_iou": best if math.isfinite(best) else None},
            )
    if last_step == recipe.schedule.max_steps:
        save_model(accelerator, model, job.image_processor, job.output / "model")
        if result is None or evaluated_at != last_step:
            result = None if job.validation_pictures is None else _evaluate(job, accelerator, log, last_step)
        if result is not None and accelerator.is_main_process:
            result.write_json(job.output / "evaluation.json")
    log.close()
    return result


class LossMeter:
    """Means of the loss and its parts since the last report, over steps and processes."""

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.reset()

    def reset(self) -> None:
        """Start a new interval."""
        self.sums: dict[str, torch.Tensor] = {}
        self.steps = 0.0
        self.started = time.perf_counter()

    def add(self, loss: torch.Tensor, parts: dict[str, torch.Tensor] | None, accumulation_steps: int) -> None:
        """Add the loss of one batch, of which `accumulation_steps` make a step. Nothing waits for the device."""
        for name, value in {"loss": loss, **(parts or {})}.items():
            value = value.detach().float()
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.steps += 1 / accumulation_steps
        self.batches_per_step = accumulation_steps

    def means(self, step: int) -> dict[str, float]:
        """Means per batch over the interval and all processes, and `seconds_per_step`; a new interval begins.

        Raises:
            FloatingPointError: the loss is not finite.
        """
        batches = round(self.steps * self.batches_per_step)
        names = list(self.sums)
        means = self.accelerator.reduce(torch.stack([self.sums[name] for name in names]) / batches, reduction="mean")
        values = dict(zip(names, means.tolist(), strict=True))
        values["seconds_per_step"] = (time.perf_counter() - self.started) / self.steps
        if not math.isfinite(values["loss"]):
            raise FloatingPointError(
                f"step {step}: the loss is {values['loss']} (parts: {values}); try a lower optimizer.learning_rate, "
                "more schedule.warmup_steps, optimizer.max_gradient_norm, or bf16 instead of fp16"
            )
        self.reset()
        return values


def save_model(accelerator: Accelerator, model: torch.nn.Module, image_processor: Any, folder: Path) -> None:
    """Write model and image processor (called by all processes) so that the Auto classes load them from `folder`."""
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        unwrapped = accelerator.unwrap_model(model)

        def fill(path: Path) -> None:
            unwrapped.save_pretrained(path)
            image_processor.save_pretrained(path)
            # A model that was converted names its remote-code file in its configuration: the file has to come along.
            add_remote_code(path)

        write_folder(folder, fill)
    accelerator.wait_for_everyone()


def _training_batches(
    job: TrainingJob, accelerator: Accelerator, accumulation_steps: int, first_step: int, last_step: int
) -> Iterator[dict[str, torch.Tensor]]:
    recipe = job.recipe
    crops = TrainingCrops(job.training_pictures, recipe.data.augmentation, job.image_processor, recipe.runtime.seed)
    batches = TrainingBatches(
        SampleOrder(len(crops), recipe.runtime.seed),
        per_device_size=recipe.batch.per_device_size,
        accumulation_steps=accumulation_steps,
        first_step=first_step,
        last_step=last_step,
        process_index=accelerator.process_index,
        num_processes=accelerator.num_processes,
    )
    return iter(build_training_loader(crops, batches, recipe.data.workers))


def _evaluate(job: TrainingJob, accelerator: Accelerator, log: RunLog, step: int) -> EvaluationResult:
    assert job.validation_pictures is not None
    share_running_statistics(job.model, accelerator)
    result = evaluate_model(
        job.model,
        job.image_processor,
        job.validation_pictures,
        accelerator,
        batch_size=job.recipe.evaluation.batch_size,
        workers=job.recipe.data.workers,
    )
    log.write(step, {f"evaluation/{name}": value for name, value in result.summary().items()})
    if accelerator.is_main_process:
        tqdm.write(f"evaluation after {step} steps\n{result.table()}")
    return result


def _is_due(done: int, every: int | None, last: int | None) -> bool:
    return done == last or (every is not None and done % every == 0)
