"""The training loop: accumulate, clip, step, log, evaluate, save.

It knows no architecture: the model returns its own loss (and `losses`, its named parts), the recipe says the rest.
"""

import contextlib
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from tqdm.auto import tqdm
from transformers import PreTrainedModel

from segvit_hf.files import atomic_path
from segvit_hf.remote_code import add_remote_code
from segvit_hf.training.checkpoints import find_checkpoint, load_checkpoint, read_state, save_checkpoint
from segvit_hf.training.data.datasets import SegmentationDataset
from segvit_hf.training.data.loading import TrainingCropDataset, build_training_loader
from segvit_hf.training.data.sampling import SampleOrder, TrainingBatchSampler
from segvit_hf.training.evaluation import EvaluationResult, evaluate_model, ignore_index_of
from segvit_hf.training.loss_meter import LossMeter
from segvit_hf.training.optimization.batch_norm import share_running_statistics, synchronize_batch_norm
from segvit_hf.training.optimization.parameter_groups import build_optimizer
from segvit_hf.training.optimization.schedule import build_scheduler
from segvit_hf.training.recipe import Recipe
from segvit_hf.training.run_log import RunLog

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingJob:
    """What is trained on what.

    Attributes:
        recipe: Everything that decides the result.
        model: In training mode, on the CPU.
        image_processor: The one that is saved beside the model.
        training_data: Its label maps hold class ids.
        validation_data: The same for evaluation; `None` for no evaluation.
        output: Folder of the run.
        identity: JSON values that a checkpoint must agree with, for example the class names and which photos were
            trained on.
    """

    recipe: Recipe
    model: PreTrainedModel
    image_processor: Any
    training_data: SegmentationDataset
    validation_data: SegmentationDataset | None
    output: Path
    identity: dict[str, Any]


def train(
    job: TrainingJob, accelerator: Accelerator, resume: str | None = None, stop_at_step: int | None = None
) -> EvaluationResult | None:
    """Trains, saves `<output>/model` (and `best_model`), and returns the last evaluation.

    Args:
        job: What is trained on what.
        accelerator: That of this process; all processes call.
        resume: `"latest"` or the path of a checkpoint to go on from.
        stop_at_step: Stop there, with a checkpoint, although the schedule is longer; a resumed run goes on as if
            nothing had happened. The result is then not final: no `model` folder is written.

    Raises:
        ResumeError: There is no such checkpoint, or it belongs to another run.
        FloatingPointError: The loss is not finite.
    """
    return _Training(job, accelerator, resume, stop_at_step).run()


class _Training:
    """A run from its first step, or from that of a checkpoint, to its last."""

    def __init__(
        self, job: TrainingJob, accelerator: Accelerator, resume: str | None, stop_at_step: int | None
    ) -> None:
        recipe = job.recipe
        self.job, self.recipe, self.accelerator = job, recipe, accelerator
        self.stops_early = stop_at_step is not None
        self.last_step = min(recipe.schedule.max_steps, stop_at_step or recipe.schedule.max_steps)
        self.accumulation_steps = recipe.batch.accumulation_steps(accelerator.num_processes)
        self.best_mean_iou = -math.inf
        self.result: EvaluationResult | None = None
        self.evaluated_at = -1

        synchronize_batch_norm(job.model, accelerator.num_processes, accelerator.device)
        # The schedule is not prepared: accelerate would step it once per process.
        self.model, self.optimizer = accelerator.prepare(job.model, build_optimizer(job.model, recipe.optimizer))
        # Every process needs its own dropout.
        set_seed(recipe.runtime.seed + 1 + accelerator.process_index)
        self.first_step = 0 if resume is None else self._load_checkpoint(resume)
        self.scheduler = build_scheduler(self.optimizer.optimizer, recipe.schedule, completed_steps=self.first_step)
        self.log = RunLog(accelerator, job.output, self.first_step, recipe.logging.tensorboard)
        self.meter = LossMeter(accelerator, self.accumulation_steps)
        self.batches = self._training_batches()

    def run(self) -> EvaluationResult | None:
        """Trains to the last step; returns the last evaluation."""
        self.model.train()
        steps = range(self.first_step, self.last_step)
        progress = tqdm(steps, desc="train", disable=not self.accelerator.is_local_main_process, dynamic_ncols=True)
        for step in progress:
            self._accumulate_gradients()
            gradient_norm = self._clip_gradients()
            learning_rates = {f"learning_rate/{group['name']}": group["lr"] for group in self.optimizer.param_groups}
            self._step()
            done = step + 1
            if _is_due(done, self.recipe.logging.every_steps, self.last_step):
                loss = self._log(done, gradient_norm, learning_rates)
                progress.set_postfix(loss=f"{loss:.3f}", refresh=False)
            if _is_due(done, self.recipe.evaluation.every_steps, self.recipe.schedule.max_steps):
                self._evaluate_and_keep_best(done)
            if _is_due(done, self.recipe.checkpoint.every_steps, self.last_step if self.stops_early else None):
                self._save_checkpoint(done)
        if self.last_step == self.recipe.schedule.max_steps:
            self._finish()
        self.log.close()
        return self.result

    def _accumulate_gradients(self) -> None:
        for micro_step in range(self.accumulation_steps):
            batch = {
                name: value.to(self.accelerator.device, non_blocking=True)
                for name, value in next(self.batches).items()
            }
            # Gradients are exchanged once per optimizer step.
            exchanged = micro_step == self.accumulation_steps - 1
            with contextlib.nullcontext() if exchanged else self.accelerator.no_sync(self.model):
                outputs = self.model(**batch)
                self.meter.add(outputs.loss, outputs.losses if "losses" in outputs else None)
                self.accelerator.backward(outputs.loss / self.accumulation_steps)

    def _clip_gradients(self) -> torch.Tensor | None:
        """The total norm before clipping, or `None` without clipping."""
        maximum = self.recipe.optimizer.max_gradient_norm
        return None if maximum is None else self.accelerator.clip_grad_norm_(self.model.parameters(), maximum)

    def _step(self) -> None:
        self.optimizer.step()
        self.scheduler.step()
        self.optimizer.zero_grad()

    def _log(self, done: int, gradient_norm: torch.Tensor | None, learning_rates: dict[str, float]) -> float:
        """Writes a line; returns the mean loss since the last one."""
        values = self.meter.means(done)
        if gradient_norm is not None:
            values["gradient_norm"] = float(gradient_norm)
        self.log.write(done, values | learning_rates)
        return values["loss"]

    def _evaluate_and_keep_best(self, done: int) -> None:
        self._evaluate(done)
        if self.result is None or not self.recipe.evaluation.keep_best:
            return
        if self.result.mean_iou > self.best_mean_iou:
            self.best_mean_iou = self.result.mean_iou
            self._save_model("best_model")

    def _evaluate(self, done: int) -> None:
        if self.job.validation_data is None:
            return
        share_running_statistics(self.job.model, self.accelerator)
        self.result = evaluate_model(
            self.job.model,
            self.job.image_processor,
            self.job.validation_data,
            self.accelerator,
            batch_size=self.recipe.evaluation.batch_size,
            workers=self.recipe.data.workers,
        )
        self.evaluated_at = done
        self.log.write(done, {f"evaluation/{name}": value for name, value in self.result.summary().items()})
        if self.accelerator.is_main_process:
            tqdm.write(f"evaluation after {done} steps\n{self.result.table()}")

    def _finish(self) -> None:
        self._save_model("model")
        if self.evaluated_at != self.last_step:  # resumed after its last step
            self._evaluate(self.last_step)
        if self.result is not None and self.accelerator.is_main_process:
            self.result.write_json(self.job.output / "evaluation.json")

    def _save_model(self, name: str) -> None:
        save_model(self.accelerator, self.model, self.job.image_processor, self.job.output / name)

    def _save_checkpoint(self, done: int) -> None:
        save_checkpoint(
            self.accelerator,
            self.job.output / "checkpoints",
            done,
            self.recipe,
            keep_last=self.recipe.checkpoint.keep_last,
            identity=self.job.identity,
            progress={"best_mean_iou": self.best_mean_iou if math.isfinite(self.best_mean_iou) else None},
        )

    def _load_checkpoint(self, resume: str) -> int:
        """Goes on from a checkpoint; returns the steps completed."""
        checkpoint = find_checkpoint(self.job.output / "checkpoints", resume)
        state = read_state(checkpoint, self.recipe, self.job.identity)
        load_checkpoint(self.accelerator, checkpoint, state["num_processes"])
        if state["progress"]["best_mean_iou"] is not None:
            self.best_mean_iou = state["progress"]["best_mean_iou"]
        logger.info("resumed from %s after %d steps", checkpoint, state["step"])
        return state["step"]

    def _training_batches(self) -> Iterator[dict[str, torch.Tensor]]:
        seed = self.recipe.runtime.seed
        crops = TrainingCropDataset(
            self.job.training_data,
            self.recipe.augmentation,
            self.job.image_processor,
            seed=seed,
            ignore_index=ignore_index_of(self.job.model.config),
        )
        batches = TrainingBatchSampler(
            SampleOrder(len(crops), seed),
            per_device_size=self.recipe.batch.per_device_size,
            accumulation_steps=self.accumulation_steps,
            first_step=self.first_step,
            last_step=self.last_step,
            process_index=self.accelerator.process_index,
            num_processes=self.accelerator.num_processes,
        )
        return iter(build_training_loader(crops, batches, self.recipe.data.workers))


def save_model(accelerator: Accelerator, model: torch.nn.Module, image_processor: Any, folder: Path) -> None:
    """Writes model and image processor (called by all processes) so that the Auto classes load them from `folder`."""
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        with atomic_path(folder) as unfinished:
            accelerator.unwrap_model(model).save_pretrained(unfinished)
            image_processor.save_pretrained(unfinished)
            # A model that was converted names its remote-code file in its configuration: it has to come along.
            add_remote_code(unfinished)
    accelerator.wait_for_everyone()


def _is_due(done: int, every: int | None, last: int | None) -> bool:
    return done == last or (every is not None and done % every == 0)


__all__ = ["TrainingJob", "save_model", "train"]
