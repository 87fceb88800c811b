"""transformers' own Trainer accumulates gradients of our models as one batch would give them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel, Trainer, TrainingArguments

from tests.models.architectures import NUM_LABELS, SMALL_MODELS


def samples() -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [
        {
            "pixel_values": torch.randn(3, 64, 64, generator=generator),
            "labels": torch.randint(0, NUM_LABELS, (64, 64), generator=generator),
        }
        for _ in range(4)
    ]


def trained(folder: Path, **arguments: Any) -> PreTrainedModel:
    torch.manual_seed(0)
    # Plain cross entropy without dropout: the mean over four photos is the mean of two means over two.
    model = SMALL_MODELS["segmenter-linear"].build(drop_path_rate=0.0)
    settings = TrainingArguments(
        str(folder),
        max_steps=1,
        optim="sgd",
        learning_rate=1.0,
        lr_scheduler_type="constant",
        max_grad_norm=0.0,
        report_to="none",
        save_strategy="no",
        remove_unused_columns=False,
        use_cpu=True,
        disable_tqdm=True,
        **arguments,
    )
    Trainer(model=model, args=settings, train_dataset=samples()).train()
    return model


@pytest.mark.parametrize(("batch", "accumulated"), [(2, 2), (1, 4)])
def test_accumulated_batches_are_one_batch(tmp_path: Path, batch: int, accumulated: int) -> None:
    start = SMALL_MODELS["segmenter-linear"].build(drop_path_rate=0.0)
    at_once = trained(tmp_path, per_device_train_batch_size=4)
    in_parts = trained(tmp_path, per_device_train_batch_size=batch, gradient_accumulation_steps=accumulated)
    moved = {name: float((value - start.state_dict()[name]).norm()) for name, value in at_once.state_dict().items()}
    assert max(moved.values()) > 0.01
    for name, value in at_once.state_dict().items():
        assert torch.allclose(in_parts.state_dict()[name], value, rtol=0, atol=1e-4), name
