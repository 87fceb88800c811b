"""Continual runs: what each method keeps, each step from the last, exact resumption, one or two processes."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSemanticSegmentation, PreTrainedModel

from segvit_hf.training.run_log import read_log
from tests.training.conftest import finetune, run_with_torchrun
from tests.training.continual.conftest import Run


def model_of(folder: Path, step: int) -> PreTrainedModel:
    model = AutoModelForSemanticSegmentation.from_pretrained(folder / f"step-{step}" / "model").eval()
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()  # into aligned memory: BLAS may round by the address
    return model


def logits_of(folder: Path, step: int) -> torch.Tensor:
    torch.manual_seed(0)
    with torch.no_grad():
        return model_of(folder, step)(torch.randn(2, 3, 32, 48)).logits


def weights_of(folder: Path, step: int) -> dict[str, torch.Tensor]:
    return load_file(folder / f"step-{step}" / "model" / "model.safetensors")


def test_frozen_steps_keep_older_scores_bit_for_bit_and_are_reported(run: Run) -> None:
    folder = run("frozen")
    scores = [logits_of(folder, step) for step in range(3)]
    assert [logits.shape[1] for logits in scores] == [2, 4, 6]
    assert torch.equal(scores[1][:, :2], scores[0])
    assert torch.equal(scores[2][:, :4], scores[1])

    config = model_of(folder, 2).config
    assert list(config.id2label.values()) == ["meadow", "sky", "house", "tree", "pond", "balloon"]
    assert config.class_counts == [2, 2, 2]
    report = json.loads((folder / "continual.json").read_text())
    for number, step in enumerate(report["steps"]):
        evaluation = json.loads((folder / f"step-{number}" / "evaluation.json").read_text())
        assert step["iou"] == [row["iou"] for row in evaluation["per_class"]]
        assert len(step["iou"]) == 2 * number + 2
        assert step["all"] == evaluation["mean_iou"]
    assert (folder / "report.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "report.md").read_text().count("\n| ") == 4


def test_every_step_starts_from_the_last(run: Run) -> None:
    folder = run("shared", "--set", "optimizer.learning_rate=1e-12", "--set", "optimizer.weight_decay=0.0")
    before, after = weights_of(folder, 0), weights_of(folder, 1)
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=0, atol=1e-9)
        # Layers of later classes start as copies.
        added = name.replace("decoder.", "decoder.added_groups.0.")
        if ".stages." in name:
            torch.testing.assert_close(after[added], value, rtol=0, atol=1e-9)


def test_the_distilled_step_trains_the_decoder_and_nothing_else(run: Run) -> None:
    folder = run("distilled", "--continual-method", "distilled")
    before, after = weights_of(folder, 1), weights_of(folder, 2)
    kept = {name for name, value in before.items() if torch.equal(after[name], value)}
    assert kept == {name for name in before if name.startswith("encoder.")}
    assert set(after) - set(before) == {"decoder.added_groups.1.class_queries.weight"}
    parts = {name for name in read_log(folder / "step-2")[0] if "diff" in name}
    assert parts == {f"loss_{part}_diff{stage}" for part in ("cls", "attn") for stage in ("", "_aux0")}
    assert not any("diff" in name for name in read_log(folder / "step-0")[0])


def test_distillation_holds_what_fine_tuning_forgets(run: Run) -> None:
    strong = ["--set", "optimizer.learning_rate=1e-2"]
    held, forgotten = (run(name, "--continual-method", name, *strong) for name in ("distilled", "finetuned"))
    before = logits_of(held, 0)
    assert torch.equal(before, logits_of(forgotten, 0))
    changes = [(logits_of(folder, 1)[:, :2] - before).abs().mean() for folder in (held, forgotten)]
    assert 0 < changes[0] < changes[1]
    assert not torch.equal(
        weights_of(forgotten, 1)["encoder.layers.0.norm1.weight"],
        weights_of(forgotten, 0)["encoder.layers.0.norm1.weight"],
    )


@pytest.mark.parametrize("method", ["frozen", "distilled"])
def test_a_run_that_was_stopped_goes_on_exactly(run: Run, plan: Path, tmp_path: Path, method: str) -> None:
    longer = tmp_path / "longer.yaml"
    longer.write_text(plan.read_text().replace("max_steps: 4", "max_steps: 8"))
    words = ["--continual", str(longer), "--continual-method", method]
    whole = run("whole", *words)
    parts = run("parts", *words, "--stop-at-step", "3")
    assert not (parts / "step-0" / "model").exists()
    run("parts", *words, "--resume", "--stop-at-step", "7")  # the first step has 6, the others have 8
    assert (parts / "step-0" / "model").exists()
    assert not (parts / "step-1" / "model").exists()
    finished = (parts / "step-0" / "model" / "model.safetensors").stat().st_mtime_ns
    run("parts", *words, "--resume")
    assert (parts / "step-0" / "model" / "model.safetensors").stat().st_mtime_ns == finished
    for step in range(3):
        for name, value in weights_of(whole, step).items():
            assert torch.equal(weights_of(parts, step)[name], value), (step, name)
    assert (whole / "continual.json").read_text() == (parts / "continual.json").read_text()


def test_two_processes_keep_older_scores_bit_for_bit(flags: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "pair"
    run_with_torchrun("training/finetune.py", *flags, "--output", str(folder))
    scores = [logits_of(folder, step) for step in range(3)]
    assert torch.equal(scores[1][:, :2], scores[0])
    assert torch.equal(scores[2][:, :4], scores[1])
    assert len(json.loads((folder / "continual.json").read_text())["steps"]) == 3


def test_segmenter_runs_frozen_and_is_no_student(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {
        "model.type": "segmenter",
        "model.config": "{image_size: 32, patch_size: 8, hidden_size: 64, num_hidden_layers: 1, "
        "num_attention_heads: 2, intermediate_size: 32, decoder_num_layers: 1}",
    }
    words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    folder = run("segmenter", *words)
    assert torch.equal(logits_of(folder, 2)[:, :2], logits_of(folder, 0))
    run("student", *words, "--continual-method", "distilled", status=2)
    assert "method: expected frozen or finetuned" in capsys.readouterr().err


def test_a_folder_with_a_run_and_another_plan_are_refused(
    run: Run, flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run("once", "--stop-at-step", "2")
    run("once", status=2)
    assert "expected a new folder, found a continual run" in capsys.readouterr().err
    (folder / "continual.json").write_text('{"plan": {"method": "distilled"}, "steps": []}')
    run("once", "--resume", status=2)
    assert "belongs to another plan" in capsys.readouterr().err
    assert finetune([*flags, "--output", tmp_path / "other", "--resume", tmp_path]) == 2
