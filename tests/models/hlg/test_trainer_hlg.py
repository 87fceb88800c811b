"""transformers.Trainer fine-tunes classifiers and detectors, as its own examples do, and both learn."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset
from transformers import EvalPrediction, Trainer, TrainingArguments, set_seed

from segvit_hf import HlgConfig, HlgForImageClassification, HlgForObjectDetection, HlgImageProcessor
from segvit_hf.models.hlg.image_processing_hlg import classification_image_processor
from tests.models.hlg.small_pictures import COLORS, Picture, pictures

NAMES = ("red", "green", "blue")
TINY: dict[str, Any] = {
    "hidden_sizes": [16, 16, 32, 32],
    "depths": [1, 1, 1, 1],
    "num_attention_heads": [1, 1, 2, 2],
    "drop_path_rate": 0.0,
    "pyramid_hidden_size": 32,
    "detector_num_convolutions": 1,
    "id2label": dict(enumerate(NAMES)),
    "label2id": {name: index for index, name in enumerate(NAMES)},
}
SIZE = {"height": 64, "width": 64}


class Examples(Dataset):
    """What a processor makes of pictures, one example each."""

    def __init__(self, examples: list[dict[str, Any]]) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.examples[index]


def classification_examples(found: list[Picture]) -> Examples:
    processor = classification_image_processor(56)
    inputs = processor([picture.image for picture in found], return_tensors="pt").pixel_values
    return Examples([{"pixel_values": x, "labels": p.label} for x, p in zip(inputs, found, strict=True)])


def detection_examples(found: list[Picture]) -> Examples:
    batch = HlgImageProcessor(size=SIZE)(
        [picture.image for picture in found],
        annotations=[picture.annotation for picture in found],
        return_tensors="pt",
    )
    pairs = zip(batch["pixel_values"], batch["labels"], strict=True)
    return Examples([{"pixel_values": pixels, "labels": labels} for pixels, labels in pairs])


def collate_detection(examples: list[dict[str, Any]]) -> dict[str, Any]:
    """As in transformers' example: labels stay a list."""
    pixel_values = torch.stack([example["pixel_values"] for example in examples])
    return {"pixel_values": pixel_values, "labels": [example["labels"] for example in examples]}


def arguments(folder: Path, steps: int, **options: Any) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=8,
        learning_rate=4e-3,
        logging_steps=5,
        report_to=[],
        save_strategy="no",
        use_cpu=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        seed=0,
        **options,
    )


def accuracy(prediction: EvalPrediction) -> dict[str, float]:
    return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}


def losses_of(trainer: Trainer) -> list[float]:
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def test_a_classifier_learns(tmp_path: Path) -> None:
    set_seed(0)
    trainer = Trainer(
        model=HlgForImageClassification(HlgConfig(**TINY)),
        args=arguments(tmp_path, steps=80),
        train_dataset=classification_examples(pictures(48)),
        eval_dataset=classification_examples(pictures(24, seed=1)),
        compute_metrics=accuracy,
    )
    trainer.train()
    losses = losses_of(trainer)
    assert losses[-1] < 0.3 * losses[0], losses
    assert trainer.evaluate()["eval_accuracy"] >= 0.9


def test_a_detector_learns(tmp_path: Path) -> None:
    set_seed(0)
    model = HlgForObjectDetection(HlgConfig(**TINY))
    trainer = Trainer(
        model=model,
        args=arguments(tmp_path, steps=120),
        train_dataset=detection_examples(pictures(48)),
        data_collator=collate_detection,
    )
    trainer.train()
    losses = losses_of(trainer)
    assert losses[-1] < 0.5 * losses[0], losses
    assert share_found(model, pictures(12, seed=1)) >= 0.75


@pytest.mark.parametrize("model_class", [HlgForImageClassification, HlgForObjectDetection])
def test_the_trainer_divides_the_loss_by_the_accumulation_steps(model_class: type, tmp_path: Path) -> None:
    trainer = Trainer(model_class(HlgConfig(**TINY)), arguments(tmp_path, steps=1, gradient_accumulation_steps=4))
    assert trainer.model_accepts_loss_kwargs is False


def share_found(model: HlgForObjectDetection, found: list[Picture]) -> float:
    """The share of pictures whose best box has the right class and overlaps the rectangle by half."""
    from torchvision.ops import box_convert, box_iou

    processor, hits = HlgImageProcessor(size=SIZE), []
    inputs = processor([picture.image for picture in found], return_tensors="pt")
    with torch.no_grad():
        outputs = model.eval()(**inputs)
    results = processor.post_process_object_detection(outputs, target_sizes=[(64, 64)] * len(found))
    for picture, result in zip(found, results, strict=True):
        truth = box_convert(torch.tensor([picture.box], dtype=torch.float32), "xywh", "xyxy")
        right = len(result["labels"]) > 0 and result["labels"][0] == picture.label
        hits.append(bool(right) and box_iou(truth, result["boxes"][:1]).item() > 0.5)
    return float(np.mean(hits))


@pytest.mark.parametrize("index", range(len(COLORS)))
def test_pictures_show_their_color(index: int) -> None:
    picture = pictures(3)[index]
    left, top, width, height = picture.box
    assert picture.image.getpixel((left + width // 2, top + height // 2)) == COLORS[picture.label]
