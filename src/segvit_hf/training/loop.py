"""The training loop: accumulate, clip, step, log, evaluate, save.

Whatever ends a run early that is not its own fault (Ctrl-C, a sample that cannot be used) leaves a checkpoint of the
last complete step. It knows no architecture: the model returns its own loss (and `losses`, its named parts), the
recipe says the rest.
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
from segvit_hf.training.checkpoints import find_checkpoints, resume, save_checkpoint
from segvit_hf.training.data.datasets import SegmentationDataset
from segvit_hf.training.data.loading import TrainingBatch, TrainingCropDataset, build_training_loader
from segvit_hf.training.data.samples import SampleError
from segvit_hf.training.data.sampling import SampleOrder, TrainingBatchSampler
from segvit_hf.training.evaluation import EvaluationResult, evaluate_model, ignore_index_of
from segvit_hf.training.loss_meter import LossMeter
from segvit_hf.training.low_rank_adapters import merged_state_dict
from segvit_hf.training.optimization.batch_norm import share_running_statistics, synchronize_batch_norm
from segvit_hf.training.optimization.parameter_groups import build_optimizer
from segvit_hf.training.optimization.schedule import build_scheduler
from segvit_hf.training.recipe import Recipe
from segvit_hf.training.run_log import RunLog
from segvit_hf.training.skipped_samples import SkippedSamples
from segvit_hf.training.stopping import (
    Agreement,
    Interrupts,
    Reason,
    RunInterrupted,
    first_message,
    named_write_errors,
)

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


@dataclass(frozen=True)
class Start:
    """Where a run begins and where it pauses.

    Attributes:
        resume: `"latest"` or the path of a checkpoint to go on from; `None` begins anew.
        fall_back: Go on from an older checkpoint where that one is damaged.
        stop_at_step: Stop there, with a checkpoint, although the schedule is longer; a resumed run goes on as if
            nothing had happened. The result is then not final: no `model` folder is written.
    """

    resume: str | None = None
    fall_back: bool = False
    stop_at_step: int | None = None


def train(job: TrainingJob, accelerator: Accelerator, start: Start) -> EvaluationResult | None:
    """Trains, saves `<output>/model` (and `best_model`), and returns the last evaluation.

    Args:
        job: What is trained on what.
        accelerator: That of this process; all processes call.
        start: Where the run begins and where it pauses.

    Raises:
        ResumeError: There is no such checkpoint, it is damaged, or it belongs to another run.
        FloatingPointError: The loss is not finite.
        SampleError: A photo or its label map cannot be used; the message says where the run can go on.
        RunInterrupted: Ctrl-C; the same.
        WriteError: A file cannot be written.
    """
    return _Training(job, accelerator, start).run()


class _Training:
    """A run from its first step, or from that of a checkpoint, to its last."""

    def __init__(self, job: TrainingJob, accelerator: Accelerator, start: Start) -> None:
        recipe = job.recipe
        self.job, self.recipe, self.accelerator = job, recipe, accelerator
        self.stops_early = start.stop_at_step is not None
        self.last_step = min(recipe.schedule.max_steps, start.stop_at_step or recipe.schedule.max_steps)
        self.accumulation_steps = recipe.batch.accumulation_steps(accelerator.num_processes)
        self.best_mean_iou = -math.inf
        self.result: EvaluationResult | None = None
        self.evaluated_at = -1
        self.evaluation_due = False
        self.completed = 0
        self.checkpoint: tuple[int, Path] | None = None

        synchronize_batch_norm(job.model, accelerator.num_processes, accelerator.device)
        # The schedule is not prepared: accelerate would step it once per process.
        self.model, self.optimizer = accelerator.prepare(job.model, build_optimizer(job.model, recipe.optimizer))
        # Every process needs its own dropout.
        set_seed(recipe.runtime.seed + 1 + accelerator.process_index)
        if start.resume is not None:
            self._load_checkpoint(start.resume, start.fall_back)
        self.scheduler = build_scheduler(self.optimizer.optimizer, recipe.schedule, completed_steps=self.completed)
        self.log = RunLog(accelerator, job.output, self.completed, recipe.logging.tensorboard, self.evaluation_due)
        self.meter = LossMeter(accelerator, self.accumulation_steps)
        self.skipped = SkippedSamples(accelerator, recipe.data.skip_unreadable)
        self.agreement, self.interrupts = Agreement(accelerator), Interrupts()
        self.batches = self._training_batches()

    def run(self) -> EvaluationResult | None:
        """Trains to the last step; returns the last evaluation."""
        try:
            with self.interrupts:
                self._run()
        except (SampleError, RunInterrupted) as reason:
            way_on = self._save_what_is_complete()
            self.log.close()
            raise type(reason)(f"{reason} {way_on}") from reason
        self.log.close()
        return self.result

    def _run(self) -> None:
        self.model.train()
        if self.evaluation_due:
            self._evaluate_and_keep_best(self.completed)
        steps = range(self.completed, self.last_step)
        progress = tqdm(steps, desc="train", disable=not self.accelerator.is_local_main_process, dynamic_ncols=True)
        for step in progress:
            self._accumulate_gradients(self._next_batches())
            gradient_norm = self._clip_gradients()
            learning_rates = {f"learning_rate/{group['name']}": group["lr"] for group in self.optimizer.param_groups}
            self._step()
            done = self.completed = step + 1
            if _is_due(done, self.recipe.logging.every_steps, self.last_step):
                loss = self._log(done, gradient_norm, learning_rates)
                progress.set_postfix(loss=f"{loss:.3f}", refresh=False)
            if _is_due(done, self.recipe.evaluation.every_steps, self.recipe.schedule.max_steps):
                self._evaluate_and_keep_best(done)
            if _is_due(done, self.recipe.checkpoint.every_steps, self.last_step if self.stops_early else None):
                self._save_checkpoint(done)
        if self.last_step == self.recipe.schedule.max_steps:
            self._finish()
        self.skipped.report()

    def _next_batches(self) -> list[TrainingBatch]:
        """The batches of a step, unless a process has to stop before it: then all do."""
        batches = [next(self.batches) for _ in range(self.accumulation_steps)]
        error = next((batch.error for batch in batches if batch.error is not None), None)
        mine = Reason.INTERRUPTED if self.interrupts.asked else Reason.NONE
        reason = self.agreement.reason(mine if error is None else Reason.UNUSABLE_SAMPLE)
        if reason is Reason.UNUSABLE_SAMPLE:
            raise SampleError(first_message(error, self.accelerator))
        if reason is Reason.INTERRUPTED:
            raise RunInterrupted("interrupted.")
        return batches

    def _accumulate_gradients(self, batches: list[TrainingBatch]) -> None:
        for index, batch in enumerate(batches):
            self.skipped.add(batch.skipped)
            inputs = {
                name: value.to(self.accelerator.device, non_blocking=True) for name, value in batch.inputs.items()
            }
            # Gradients are exchanged between processes with the last batch only.
            is_last = index + 1 == self.accumulation_steps
            with contextlib.nullcontext() if is_last else self.accelerator.no_sync(self.model):
                outputs = self.model(**inputs)
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
        self.log.write(done, values | self.skipped.for_the_log() | learning_rates)
        return values["loss"]

    def _evaluate_and_keep_best(self, done: int) -> None:
        self.evaluation_due = True  # until it is over: a run that stops in it begins with it when it goes on
        self._evaluate(done)
        if self.result is not None and self.recipe.evaluation.keep_best and self.result.mean_iou > self.best_mean_iou:
            self.best_mean_iou = self.result.mean_iou
            self._save_model("best_model")
        self.evaluation_due = False

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
            skip_unreadable=self.recipe.data.skip_unreadable,
            should_stop=lambda: self.interrupts.asked,
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
        self.meter.check_finite(done)
        best = self.best_mean_iou if math.isfinite(self.best_mean_iou) else None
        folder = save_checkpoint(
            self.accelerator,
            self.job.output / "checkpoints",
            done,
            self.recipe,
            keep_last=self.recipe.checkpoint.keep_last,
            identity=self.job.identity,
            progress={"best_mean_iou": best, "evaluation_due": self.evaluation_due},
        )
        self.checkpoint = done, folder

    def _save_what_is_complete(self) -> str:
        """A checkpoint of the last complete step, if there is one; returns where the run can go on."""
        if self.completed == 0:
            return "No step was complete, nothing was saved."
        if self.checkpoint is None or self.checkpoint[0] != self.completed:
            self._save_checkpoint(self.completed)
        assert self.checkpoint is not None
        steps = f"{self.completed} of {self.recipe.schedule.max_steps} steps"
        return f"{steps} are complete, in {self.checkpoint[1]}: --resume goes on from there."

    def _load_checkpoint(self, wanted: str, fall_back: bool) -> None:
        """Goes on from a checkpoint."""
        candidates = find_checkpoints(self.job.output / "checkpoints", wanted)
        folder, state = resume(self.accelerator, candidates, self.recipe, self.job.identity, fall_back=fall_back)
        self.completed = state["step"]
        self.checkpoint = self.completed, folder
        progress = state["progress"]
        if progress.get("best_mean_iou") is not None:
            self.best_mean_iou = progress["best_mean_iou"]
        self.evaluation_due = bool(progress.get("evaluation_due", False))
        logger.info("resumed from %s after %d steps", folder, self.completed)

    def _training_batches(self) -> Iterator[TrainingBatch]:
        seed = self.recipe.runtime.seed
        crops = TrainingCropDataset(
            self.job.training_data,
            self.recipe.augmentation,
            self.job.image_processor,
            seed=seed,
            ignore_index=ignore_index_of(self.job.model.config),
            skip_unreadable=self.recipe.data.skip_unreadable,
        )
        batches = TrainingBatchSampler(
            SampleOrder(len(crops), seed),
            per_device_size=self.recipe.batch.per_device_size,
            accumulation_steps=self.accumulation_steps,
            first_step=self.completed,
            last_step=self.last_step,
            process_index=self.accelerator.process_index,
            num_processes=self.accelerator.num_processes,
        )
        return iter(build_training_loader(crops, batches, self.recipe.data.workers))


def save_model(accelerator: Accelerator, model: torch.nn.Module, image_processor: Any, folder: Path) -> None:
    """Writes model and image processor (called by all processes) so that the Auto classes load them from `folder`.

    Raises:
        WriteError: They cannot be written; nothing of them is left, and what was there before stays.
    """
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        with named_write_errors(folder), atomic_path(folder) as unfinished:
            plain = accelerator.unwrap_model(model)
            plain.save_pretrained(unfinished, state_dict=merged_state_dict(plain))
            image_processor.save_pretrained(unfinished)
            # A model that was converted names its remote-code file in its configuration: it has to come along.
            add_remote_code(unfinished)
    accelerator.wait_for_everyone()


def _is_due(done: int, every: int | None, last: int | None) -> bool:
    return done == last or (every is not None and done % every == 0)


__all__ = ["Start", "TrainingJob", "save_model", "train"]
