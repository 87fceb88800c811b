"""Evaluation at the photos' own sizes: image processor, the model's windows, post-processing, confusion matrix.

Only counts are kept, so memory does not grow with the number of photos. With several processes every photo is taken by
exactly one of them and the counts are added as integers: the result does not depend on the number of processes.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader, Dataset, Subset
from tqdm.auto import tqdm
from transformers import PreTrainedConfig, PreTrainedModel

import segvit_hf
from segvit_hf.data.class_names import class_names
from segvit_hf.data.label_maps import DEFAULT_IGNORE_INDEX
from segvit_hf.files import write_text
from segvit_hf.metrics.mean_iou import ConfusionMatrix
from segvit_hf.training.data.datasets import SegmentationDataset


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
    """

    class_names: tuple[str, ...]
    matrix: np.ndarray
    num_pictures: int
    iou: np.ndarray
    accuracy: np.ndarray
    mean_iou: float
    mean_accuracy: float
    overall_accuracy: float

    @classmethod
    def from_confusion(
        cls, confusion: ConfusionMatrix, class_names: Sequence[str], num_pictures: int
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
        lines.append(
            f"mIoU {100 * self.mean_iou:.2f}  mAcc {100 * self.mean_accuracy:.2f}  "
            f"aAcc {100 * self.overall_accuracy:.2f}  ({self.num_pictures} photos)"
        )
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """JSON values; `null` where a class does not occur."""
        per_class = [
            {"id": index, "name": name, "iou": _number(self.iou[index]), "accuracy": _number(self.accuracy[index])}
            for index, name in enumerate(self.class_names)
        ]
        means = {name: _number(value) for name, value in self.summary().items()}
        return {**means, "num_pictures": self.num_pictures, "per_class": per_class}

    def write_json(self, path: str | Path) -> None:
        """Writes `to_dict` to a file."""
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
    """
    names = tuple(class_names(model.config).values())
    confusion = ConfusionMatrix(len(names), ignore_index=ignore_index_of(model.config))
    single_pass = tuple(scales) == (1.0,) and not flip
    mine = range(accelerator.process_index, len(dataset), accelerator.num_processes)
    loader: DataLoader[Any] = DataLoader(
        Subset(cast(Dataset[Any], dataset), mine),
        batch_size=batch_size if single_pass else 1,
        num_workers=workers,
        collate_fn=_Collator(image_processor if single_pass else None),
        # A loader draws its workers' seed from this generator instead of the global one that dropout uses.
        generator=torch.Generator(),
    )
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        for batch in tqdm(loader, desc="evaluate", disable=not accelerator.is_local_main_process, leave=False):
            if single_pass:
                predictions = _segment_batch(model, image_processor, batch, accelerator)
            else:
                with accelerator.autocast():
                    predictions = [
                        segvit_hf.segment(
                            model, image_processor, image, scales=tuple(scales), flip=flip, max_logits=None
                        )
                        for image in batch["images"]
                    ]
            for prediction, reference in zip(predictions, batch["references"], strict=True):
                confusion.update(prediction.cpu().numpy(), reference)
    model.train(was_training)
    return EvaluationResult.from_confusion(_summed(confusion, accelerator), names, len(dataset))


def ignore_index_of(config: PreTrainedConfig) -> int:
    """The id that stands for no class in the labels of a model, the default where its configuration names none."""
    return int(getattr(config, "semantic_loss_ignore_index", DEFAULT_IGNORE_INDEX))


def _segment_batch(
    model: PreTrainedModel, image_processor: Any, batch: Mapping[str, Any], accelerator: Accelerator
) -> list[torch.Tensor]:
    inputs = {name: value.to(accelerator.device) for name, value in batch["inputs"].items()}
    sizes = [reference.shape for reference in batch["references"]]
    with accelerator.autocast():
        outputs = model(**inputs)
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

    def __call__(self, items: list[Mapping[str, Any]]) -> dict[str, Any]:
        images = [item["image"] for item in items]
        references = [np.asarray(item["segmentation_map"]) for item in items]
        if self.image_processor is None:
            return {"images": images, "references": references}
        return {"inputs": dict(self.image_processor(images=images, return_tensors="pt")), "references": references}


def _percent(share: float) -> str:
    return "      -" if math.isnan(share) else f"{100 * share:7.2f}"


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


__all__ = ["EvaluationResult", "evaluate_model", "ignore_index_of"]
