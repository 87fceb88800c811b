"""Evaluation at the photos' own sizes: image processor, the model's windows, post-processing, confusion matrix.

Only counts are kept, so memory does not grow with the number of photos. With several processes every photo is taken by
exactly one of them and the counts are added as integers: the result does not depend on the number of processes.
"""

import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers import PreTrainedConfig, PreTrainedModel

import segvit_hf
from segvit_hf.data.class_names import class_names
from segvit_hf.data.label_maps import DEFAULT_IGNORE_INDEX
from segvit_hf.files import write_text
from segvit_hf.metrics.mean_iou import ConfusionMatrix
from segvit_hf.training.data.datasets import SegmentationDataset
from segvit_hf.training.data.samples import SampleError, SampleSubset
from segvit_hf.training.stopping import RunInterrupted, first_message, ignore_interrupts, named_write_errors

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EvaluationResult:
    """The scores of a model, from 0 to 1.

    Attributes:
        class_names: In the order of their ids.
        matrix: int64 array (num_labels, num_labels), pixels by [reference, predicted].
        num_pictures: How many photos were counted.
        iou: Array (num_labels,), NaN where a class does not occur.
        accuracy: The same for the share of a class's pixels that are recognized.
        mean_iou: Over the classes that occur.
        mean_accuracy: The same.
        overall_accuracy: Of all pixels.
        num_skipped: How many photos could not be used and were left out.
    """

    class_names: tuple[str, ...]
    matrix: np.ndarray
    num_pictures: int
    iou: np.ndarray
    accuracy: np.ndarray
    mean_iou: float
    mean_accuracy: float
    overall_accuracy: float
    num_skipped: int = 0

    @classmethod
    def from_confusion(
        cls, confusion: ConfusionMatrix, class_names: Sequence[str], num_pictures: int, num_skipped: int = 0
    ) -> "EvaluationResult":
        """The scores of a complete confusion matrix."""
        scores = confusion.compute()
        return cls(
            class_names=tuple(class_names),
            matrix=confusion.matrix,
            num_pictures=num_pictures,
            iou=np.asarray(scores["per_category_iou"]),
            accuracy=np.asarray(scores["per_category_accuracy"]),
            mean_iou=float(scores["mean_iou"]),
            mean_accuracy=float(scores["mean_accuracy"]),
            overall_accuracy=float(scores["overall_accuracy"]),
            num_skipped=num_skipped,
        )

    def summary(self) -> dict[str, float]:
        """The three means, as logged."""
        return {
            "mean_iou": self.mean_iou,
            "mean_accuracy": self.mean_accuracy,
            "overall_accuracy": self.overall_accuracy,
        }

    def table(self) -> str:
        """Per-class table in percent; a dash where a class does not occur."""
        width = max(len("class"), *(len(name) for name in self.class_names))
        lines = [f"{'class':<{width}}     IoU     Acc", "-" * (width + 16)]
        for name, iou, accuracy in zip(self.class_names, self.iou, self.accuracy, strict=True):
            lines.append(f"{name:<{width}} {_percent(iou)} {_percent(accuracy)}")
        lines += ["-" * (width + 16), f"{'mean':<{width}} {_percent(self.mean_iou)} {_percent(self.mean_accuracy)}"]
        skipped = f", {self.num_skipped} that cannot be used were skipped" if self.num_skipped else ""
        lines.append(
            f"mIoU {100 * self.mean_iou:.2f}  mAcc {100 * self.mean_accuracy:.2f}  "
            f"aAcc {100 * self.overall_accuracy:.2f}  ({self.num_pictures} photos{skipped})"
        )
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """JSON values; `null` where a class does not occur."""
        per_class = [
            {"id": index, "name": name, "iou": _number(self.iou[index]), "accuracy": _number(self.accuracy[index])}
            for index, name in enumerate(self.class_names)
        ]
        means = {name: _number(value) for name, value in self.summary().items()}
        counts = {"num_pictures": self.num_pictures, "num_skipped": self.num_skipped}
        return {**means, **counts, "per_class": per_class}

    def write_json(self, path: str | Path) -> None:
        """Writes `to_dict` to a file.

        Raises:
            WriteError: It cannot be written.
        """
        with named_write_errors(Path(path)):
            write_text(path, json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n")


def evaluate_model(
    model: PreTrainedModel,
    image_processor: Any,
    dataset: SegmentationDataset,
    accelerator: Accelerator,
    *,
    batch_size: int = 1,
    workers: int = 0,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    skip_unreadable: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
) -> EvaluationResult:
    """Scores a model on labeled photos (called by all processes; all get the same result).

    Args:
        model: Unwrapped, on `accelerator.device`; its training mode is restored afterwards.
        image_processor: The one that belongs to it.
        dataset: Its items hold `image` (height, width, 3) uint8 and `segmentation_map` (height, width) of class ids,
            the model's ignore index where there is no class.
        accelerator: That of this process.
        batch_size: Photos at a time in each process (single scale without flip; else one at a time).
        workers: Loader processes of each process.
        scales: Those of `segment`'s multi-scale protocol.
        flip: Whether mirrored photos are averaged, too.
        skip_unreadable: Leave out photos that cannot be used, and count them.
        should_stop: Asked before each batch; the evaluation ends when any process says yes.

    Raises:
        SampleError: A photo or its label map cannot be used; in all processes.
        RunInterrupted: `should_stop` said yes; in all processes.
    """
    single_pass = tuple(scales) == (1.0,) and not flip
    loader = _loader(dataset, image_processor if single_pass else None, accelerator, batch_size, workers)
    names = tuple(class_names(model.config).values())
    confusion = ConfusionMatrix(len(names), ignore_index=ignore_index_of(model.config))
    skipped: list[str] = []
    stopped, was_training = False, model.training
    model.eval()
    try:
        for batch in tqdm(loader, desc="evaluate", disable=not accelerator.is_local_main_process, leave=False):
            skipped += batch["errors"]
            for error in batch["errors"] if skip_unreadable else []:
                logger.warning("skipped: %s", error)
            stopped = should_stop()
            if stopped or (skipped and not skip_unreadable):
                break
            for prediction, reference in zip(
                _predict(model, image_processor, batch, accelerator, scales, flip), batch["references"], strict=True
            ):
                confusion.update(prediction.cpu().numpy(), reference)
    finally:
        model.train(was_training)
    _raise_together(None if skip_unreadable or not skipped else skipped[0], stopped, accelerator)
    num_skipped = int(accelerator.reduce(torch.tensor(len(skipped), device=accelerator.device), reduction="sum"))
    summed = _summed(confusion, accelerator)
    return EvaluationResult.from_confusion(summed, names, len(dataset) - num_skipped, num_skipped)


def ignore_index_of(config: PreTrainedConfig) -> int:
    """The id that stands for no class in the labels of a model, the default where its configuration names none."""
    return int(getattr(config, "semantic_loss_ignore_index", DEFAULT_IGNORE_INDEX))


def _loader(
    dataset: SegmentationDataset, image_processor: Any, accelerator: Accelerator, batch_size: int, workers: int
) -> DataLoader[Any]:
    """This process's share of the photos; with an image processor, prepared for one pass of the model."""
    mine = range(accelerator.process_index, len(dataset), accelerator.num_processes)
    return DataLoader(
        SampleSubset(dataset, mine),
        batch_size=1 if image_processor is None else batch_size,
        num_workers=workers,
        collate_fn=_Collator(image_processor),
        worker_init_fn=ignore_interrupts,
        # A loader draws its workers' seed from this generator instead of the global one that dropout uses.
        generator=torch.Generator(),
    )


def _raise_together(error: str | None, stopped: bool, accelerator: Accelerator) -> None:
    """Raises in all processes what one of them has to raise: the others would wait for its counts for ever."""
    error = first_message(error, accelerator)
    if error is not None:
        raise SampleError(error)
    if first_message("interrupted" if stopped else None, accelerator):
        raise RunInterrupted("the evaluation was interrupted.")


@torch.inference_mode()
def _predict(
    model: PreTrainedModel,
    image_processor: Any,
    batch: Mapping[str, Any],
    accelerator: Accelerator,
    scales: Sequence[float],
    flip: bool,
) -> list[torch.Tensor]:
    with accelerator.autocast():
        if "images" in batch:
            return [
                segvit_hf.segment(model, image_processor, image, scales=tuple(scales), flip=flip, max_logits=None)
                for image in batch["images"]
            ]
        if not batch["references"]:
            return []
        outputs = model(**{name: value.to(accelerator.device) for name, value in batch["inputs"].items()})
    sizes = [reference.shape for reference in batch["references"]]
    return image_processor.post_process_semantic_segmentation(outputs, target_sizes=sizes)


def _summed(confusion: ConfusionMatrix, accelerator: Accelerator) -> ConfusionMatrix:
    """The counts of all processes."""
    total = accelerator.reduce(torch.from_numpy(confusion.matrix).to(accelerator.device), reduction="sum")
    summed = ConfusionMatrix(confusion.num_labels, ignore_index=confusion.ignore_index)
    summed.matrix = total.cpu().numpy()
    return summed


class _Collator:
    """Runs the image processor in the loader's worker processes."""

    def __init__(self, image_processor: Any) -> None:
        self.image_processor = image_processor

    def __call__(self, items: list[Mapping[str, Any] | SampleError]) -> dict[str, Any]:
        errors = [str(item) for item in items if isinstance(item, SampleError)]
        usable = [item for item in items if not isinstance(item, SampleError)]
        images = [item["image"] for item in usable]
        batch: dict[str, Any] = {
            "references": [np.asarray(item["segmentation_map"]) for item in usable],
            "errors": errors,
        }
        if self.image_processor is None:
            return {**batch, "images": images}
        inputs = dict(self.image_processor(images=images, return_tensors="pt")) if images else {}
        return {**batch, "inputs": inputs}


def _percent(share: float) -> str:
    return "      -" if math.isnan(share) else f"{100 * share:7.2f}"


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


__all__ = ["EvaluationResult", "evaluate_model", "ignore_index_of"]
