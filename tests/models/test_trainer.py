"""transformers' Trainer evaluates the models with `compute_metrics`: it gathers tensors, not the losses."""

from pathlib import Path

import torch
from transformers import EvalPrediction, Trainer, TrainingArguments

from tests.models.architectures import NUM_LABELS, SmallModel


def test_the_trainers_evaluation_gives_metrics_of_the_logits(any_model: SmallModel, tmp_path: Path) -> None:
    examples = [
        {"pixel_values": torch.randn(3, 64, 64), "labels": torch.randint(0, NUM_LABELS, (64, 64))} for _ in range(3)
    ]

    def logits_size(prediction: EvalPrediction) -> dict[str, list[int]]:
        return {"size": list(prediction.predictions.shape)}

    arguments = TrainingArguments(tmp_path, per_device_eval_batch_size=2, report_to="none", use_cpu=True)
    trainer = Trainer(any_model.build(), arguments, eval_dataset=examples, compute_metrics=logits_size)
    assert trainer.evaluate()["eval_size"] == [3, NUM_LABELS, 64, 64]
