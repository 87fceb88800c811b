"""Evaluation at the photos' own sizes: image processor, sliding windows of the model, post-processing, confusion matrix.

Only counts are kept, so memory does not grow with the number of pictures. With several processes every picture is
taken by exactly one of them and the counts are added as integers: the result does not depend on the number of
processes.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
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
from segvit_hf.metrics.mean_iou import ConfusionMatrix
from segvit_hf.training.atomic_files import write_text
from segvit_hf.training.data.loading import LabeledPictures


@dataclass(frozen=True)
class EvaluationResult:
    """`mean_iou`, `mean_accuracy` (over the classes that occur) and `overall_accuracy` (all pixels), from 0 to 1;
    per class `iou` and `accuracy` (NaN where a class does not occur); `matrix[reference, predicted]` in pixels.
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
            f"aAcc {100 * self.overall_accuracy:.2f}  ({self.num_pictures} pictures)"
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
        """Write :meth:`to_dict` to `path`."""
        write_text(path, json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n")


def evaluate_model(
    model: PreTrainedModel,
    image_processor: Callable[..., Any],
    pictures: LabeledPictures,
    accelerator: Accelerator,
    *,
    batch_size: int = 1,
    workers: int = 0,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
) -> EvaluationResult:
    """Score a model on labeled pictures (called by all processes; all get the same result).

    Args:
        model: unwrapped, on `accelerator.device`; its training mode is restored afterwards.
        pictures: data set whose items hold `image` (height, width, 3) uint8 and `segmentation_map` (height,
            width) of class ids, the model's ignore index where there is no class.
        batch_size: pictures at a time in each process (single scale without flip; else one at a time).
        workers: loader processes of each process.
        scales, flip: the multi-scale protocol of `segment`.
    """
    names = class_names(model.config)
    num_labels, ignore_index = len(names), int(getattr(model.config, "semantic_loss_ignore_index", 255))
    confusion = ConfusionMatrix(num_labels, ignore_index=ignore_index)
    single_pass = tuple(scales) == (1.0,) and not flip
    mine = range(accelerator.process_index, len(pictures), accelerator.num_processes)
    loader: DataLoader[Any] = DataLoader(
        Subset(cast(Dataset[Any], pictures), mine),
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
                inputs = {name: value.to(accelerator.device) for name, value in batch["inputs"].items()}
                sizes = [reference.shape for reference in batch["references"]]
                with accelerator.autocast():
                    outputs = model(**inputs)
                predictions = image_processor.post_process_semantic_segmentation(outputs, target_sizes=sizes)  # type: ignore[attr-defined]
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
    total = accelerator.reduce(torch.from_numpy(confusion.matrix).to(accelerator.device), reduction="sum")
    summed = ConfusionMatrix(num_labels, ignore_index=ignore_index)
    summed.matrix = total.cpu().numpy()
    return EvaluationResult.from_confusion(summed, names, len(pictures))


def class_names(config: PreTrainedConfig) -> tuple[str, ...]:
    """The class names of a configuration in the order of their ids."""
    names = {int(index): str(name) for index, name in (config.id2label or {}).items()}
    return tuple(names[index] for index in range(len(names)))


class _Collator:
    """Runs the image processor in the loader's worker processes."""

    def __init__(self, image_processor: Callable[..., Any] | None) -> None:
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
