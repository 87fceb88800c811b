"""Batch norm is synchronized under several GPUs, and only there; it trains on one CPU as it is."""

from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel

from segvit_hf import SetrForSemanticSegmentation
from segvit_hf.training import loop
from segvit_hf.training.optimization.batch_norm import synchronize_batch_norm
from tests.models.architectures import SMALL_MODELS
from tests.training.conftest import Scenes, finetune

CUDA, CPU = torch.device("cuda", 1), torch.device("cpu")


@pytest.fixture(params=["setr-naive", "setr-pup", "setr-mla"])
def model(request: pytest.FixtureRequest) -> PreTrainedModel:
    model = SMALL_MODELS[request.param].build()
    for norm in batch_norms(model):
        nn.init.normal_(norm.running_mean)
    return model


def batch_norms(model: PreTrainedModel) -> list[nn.Module]:
    return [module for module in model.modules() if isinstance(module, (nn.BatchNorm2d, nn.SyncBatchNorm))]


@pytest.mark.parametrize(
    ("num_processes", "device", "is_synchronized"),
    [(1, CPU, False), (2, CPU, False), (1, CUDA, False), (8, CUDA, True)],
)
def test_only_several_gpus_synchronize(
    num_processes: int, device: torch.device, is_synchronized: bool, model: PreTrainedModel
) -> None:
    synchronize_batch_norm(model, num_processes, device)
    norms = batch_norms(model)
    assert norms
    assert all(isinstance(norm, nn.SyncBatchNorm) == is_synchronized for norm in norms)


def test_a_run_synchronizes_its_model_before_it_is_wrapped(
    scenes: Scenes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    real = loop.synchronize_batch_norm

    def watched(model: PreTrainedModel, num_processes: int, device: torch.device) -> None:
        calls.append((type(model).__name__, num_processes, device.type))
        real(model, num_processes, device)

    monkeypatch.setattr(loop, "synchronize_batch_norm", watched)
    assert finetune([*scenes.flags, "--output", tmp_path / "run", "--stop-at-step", "1"]) == 0
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    assert calls == [("SegVitForSemanticSegmentation", 1, kind)]


def test_parameters_outputs_and_saved_files_stay_the_same(model: PreTrainedModel, tmp_path: Path) -> None:
    pixel_values = torch.randn(1, 3, 64, 64)
    parameters = {name: id(parameter) for name, parameter in model.named_parameters()}
    with torch.no_grad():
        before = model(pixel_values).logits
        synchronize_batch_norm(model, 8, CUDA)
        assert {name: id(parameter) for name, parameter in model.named_parameters()} == parameters
        assert torch.equal(model(pixel_values).logits, before)
        model.save_pretrained(tmp_path)
        saved = SetrForSemanticSegmentation.from_pretrained(tmp_path).eval()
        assert all(isinstance(norm, nn.BatchNorm2d) for norm in batch_norms(saved))
        assert torch.equal(saved(pixel_values).logits, before)


def test_one_picture_on_one_cpu_trains(model: PreTrainedModel) -> None:
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    pixel_values, labels = torch.randn(1, 3, 64, 64), torch.randint(0, 5, (1, 64, 64))
    losses = []
    for _ in range(5):
        loss = model(pixel_values, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert all(norm.num_batches_tracked == 5 for norm in batch_norms(model))
