"""Training and evaluation in two processes (torchrun, gloo): same pictures, same schedule, exact confusion matrix."""

import json
from pathlib import Path

import pytest

from segvit_hf.training.run_log import read_log
from tests.training.conftest import Scenes, evaluate, finetune, run_with_torchrun


def test_two_processes_train_and_evaluate_as_one(scenes: Scenes, tmp_path: Path) -> None:
    pair, alone = tmp_path / "pair", tmp_path / "alone"
    # Without dropout the class loss of the first step depends on weights and pictures only.
    flags = [*scenes.flags, "--set", "model.config.drop_path_rate=0.0", "--set", "model.config.decoder_dropout=0.0"]
    output = run_with_torchrun("training/finetune.py", *flags, "--output", str(pair))
    assert output.count("evaluation after 6 steps") == 1  # printed by one process only
    assert finetune([*flags, "--output", str(alone)]) == 0
    losses_of_pair, losses_alone = ([line for line in read_log(run) if "loss" in line] for run in (pair, alone))
    assert [line["step"] for line in losses_of_pair] == [1, 2, 3, 4, 5, 6]
    assert losses_of_pair[0]["loss_ce"] == pytest.approx(losses_alone[0]["loss_ce"], rel=1e-5)
    assert losses_of_pair[-1]["loss"] == pytest.approx(losses_alone[-1]["loss"], rel=0.2)
    rates = [[line["learning_rate/lr_x10_decay_x1"] for line in lines] for lines in (losses_of_pair, losses_alone)]
    assert rates[0] == rates[1]  # the schedule is stepped once per step, not once per process

    # Three pictures for two processes: none is counted twice.
    evaluation = ["--model", str(pair / "model"), "--images", str(scenes.val_images)]
    evaluation += ["--annotations", str(scenes.val_annotations), "--workers", "0", "--output"]
    run_with_torchrun("training/evaluate.py", *evaluation, str(tmp_path / "pair.json"))
    assert evaluate([*evaluation, str(tmp_path / "alone.json")]) == 0
    by_pair, by_one, in_training = (
        json.loads(path.read_text())
        for path in (tmp_path / "pair.json", tmp_path / "alone.json", pair / "evaluation.json")
    )
    assert by_pair == by_one == in_training
    assert by_one["num_pictures"] == 3
