"""The Auto classes and the pipeline load our models, with `import segvit_hf` or with trust_remote_code."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForSemanticSegmentation,
    PreTrainedModel,
    pipeline,
)

from segvit_hf.registration import ARCHITECTURES, Architecture, add_remote_code
from tests.models.architectures import SMALL_MODELS

LOAD_WITHOUT_IMPORT = """
import sys
from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation
assert "segvit_hf" not in sys.modules
model = AutoModelForSemanticSegmentation.from_pretrained(sys.argv[1], trust_remote_code=True)
image_processor = AutoImageProcessor.from_pretrained(sys.argv[1], trust_remote_code=True)
print(type(model).__name__, type(image_processor).__name__)
"""


def small_model_of(architecture: Architecture) -> PreTrainedModel:
    small_models = [small for small in SMALL_MODELS.values() if small.model_type == architecture.config.model_type]
    return small_models[0].build()


@pytest.fixture(params=ARCHITECTURES, ids=lambda architecture: architecture.config.model_type)
def architecture(request: pytest.FixtureRequest) -> Architecture:
    return request.param


@pytest.fixture
def saved_model(architecture: Architecture, tmp_path: Path) -> Path:
    small_model_of(architecture).save_pretrained(tmp_path / "model")
    architecture.image_processor(size={"shortest_edge": 64, "longest_edge": 256}).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_auto_classes_load_what_was_saved(architecture: Architecture, saved_model: Path) -> None:
    assert type(AutoConfig.from_pretrained(saved_model)) is architecture.config
    assert type(AutoModelForSemanticSegmentation.from_pretrained(saved_model)) is architecture.semantic_segmentation
    assert type(AutoImageProcessor.from_pretrained(saved_model)) is architecture.image_processor
    assert type(AutoImageProcessor.from_pretrained(saved_model, backend="pil")) is architecture.image_processor_pil


@pytest.mark.parametrize("with_remote_code", [False, True], ids=["plain", "remote-code"])
def test_the_pipeline_loads_a_folder_without_errors_or_questions(
    saved_model: Path, with_remote_code: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(prompt: str) -> str:
        raise AssertionError(f"the user was asked: {prompt}")

    monkeypatch.setattr("builtins.input", refuse)
    if with_remote_code:
        add_remote_code(saved_model)
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    segmenter = pipeline("image-segmentation", model=str(saved_model))
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8))
    regions = segmenter(photo)
    assert sum(np.count_nonzero(region["mask"]) for region in regions) == 90 * 120
    assert not [record.message for record in caplog.records if record.levelno >= logging.ERROR]


def test_remote_code_loads_where_the_package_was_not_imported(
    architecture: Architecture, saved_model: Path, tmp_path: Path
) -> None:
    add_remote_code(saved_model)
    outcome = subprocess.run(
        [sys.executable, "-c", LOAD_WITHOUT_IMPORT, str(saved_model)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "HF_HUB_OFFLINE": "1",
            "HF_MODULES_CACHE": str(tmp_path / "modules"),
        },
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr
    expected = (architecture.semantic_segmentation.__name__, architecture.image_processor.__name__)
    assert tuple(outcome.stdout.split()) == expected


def test_remote_code_needs_a_configuration_of_ours(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        add_remote_code(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ValueError, match="bert"):
        add_remote_code(tmp_path)
