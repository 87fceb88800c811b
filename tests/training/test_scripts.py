"""The scripts of `training/` run as files; their folder, which comes first on sys.path, hides no package."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.conftest import REPOSITORY, Scenes

FOLDER = REPOSITORY / "training"
# Python imports a module of this name before every script: here, to write down what the script has imported.
REPORT_MODULES = """
import atexit, json, os, sys

def report():
    modules = {name: module for name, module in sys.modules.items() if name not in ("__main__", "__mp_main__")}
    files = {name: getattr(module, "__file__", None) for name, module in modules.items()}
    with open(os.environ["REPORT"], "w") as file:
        json.dump({name: path for name, path in files.items() if path}, file)

atexit.register(report)
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(REPORT_MODULES)
    paths = [tmp_path / "site", REPOSITORY / "src"]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "REPORT": str(tmp_path / "modules.json"),
        "ACCELERATE_USE_CPU": "true",
    }


def run(script: str, *words: str, environment: dict[str, str], cwd: Path) -> dict[str, str]:
    """Runs a script; returns the files of the modules that it imported, by name."""
    command = [sys.executable, str(FOLDER / script), *words]
    finished = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return json.loads(Path(environment["REPORT"]).read_text())


@pytest.mark.parametrize("script", ["finetune.py", "evaluate.py"])
def test_help(script: str, environment: dict[str, str], tmp_path: Path) -> None:
    assert not from_the_folder(run(script, "--help", environment=environment, cwd=tmp_path))


def test_two_steps_and_an_evaluation(scenes: Scenes, environment: dict[str, str], tmp_path: Path) -> None:
    flags = [*scenes.flags, "--max-steps", "2", "--output", "run", "--tensorboard", "--workers", "1"]
    modules = run("finetune.py", *flags, environment=environment, cwd=tmp_path)
    assert "segvit_hf.training.loop" in modules
    assert not from_the_folder(modules)
    flags = ["--model", "run/model", "--images", str(scenes.val_images), "--annotations", str(scenes.val_annotations)]
    modules = run("evaluate.py", *flags, "--output", "result.json", environment=environment, cwd=tmp_path)
    assert not from_the_folder(modules)
    assert (tmp_path / "result.json").read_text() == (tmp_path / "run" / "evaluation.json").read_text()


def from_the_folder(modules: dict[str, str]) -> dict[str, str]:
    """Modules other than ours that were found in `training/` instead of where packages are installed."""
    others = {name: path for name, path in modules.items() if not name.startswith("segvit_hf.")}
    return {name: path for name, path in others.items() if FOLDER in Path(path).parents}
