"""What the package imports is what it declares, and `import segvit_hf` needs only what a model needs."""

import ast
import re
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement

from tests.models.architectures import SMALL_MODELS

PROJECT = Path(__file__).parents[2]
PACKAGE_OF_MODULE = {"PIL": "pillow", "yaml": "pyyaml"}
# Declared, and imported by others at our wish: transformers' image processors, and accelerate's log of a training.
IMPORTED_BY_OTHERS = {"torchvision", "tensorboard"}

# With None for a module, Python refuses to import it and transformers takes it as not installed. PyYAML and tqdm are
# not here because huggingface_hub needs both.
IMPORT_AND_RUN = """
import sys

for name in ("accelerate", "av", "datasets", "evaluate", "scipy", "tensorboard", "timm"):
    sys.modules[name] = None

import torch
from tests.models.architectures import SMALL_MODELS

for name, small_model in SMALL_MODELS.items():
    print(name, tuple(small_model.build()(torch.zeros(1, 3, 64, 64)).logits.shape[-2:]))
"""


def _imported_modules() -> set[str]:
    names = set()
    for path in (PROJECT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(node.module or "")
    return {name.partition(".")[0] for name in names}


def test_imports_are_declared_and_declared_packages_are_imported() -> None:
    imported = _imported_modules() - set(sys.stdlib_module_names) - {"segvit_hf"}
    packages = {PACKAGE_OF_MODULE.get(name, name) for name in imported}
    requirements = [Requirement(line) for line in requires("segvit-hf") or []]
    declared = {
        re.sub("[-.]", "_", requirement.name.lower())
        for requirement in requirements
        if requirement.marker is None
        or any(requirement.marker.evaluate({"extra": extra}) for extra in ("lora", "video"))
    }

    assert packages | IMPORTED_BY_OTHERS == declared


def test_models_run_without_the_packages_of_training_conversion_and_metrics() -> None:
    result = subprocess.run(
        [sys.executable, "-c", IMPORT_AND_RUN], cwd=PROJECT, capture_output=True, text=True, check=False
    )

    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [f"{name} (64, 64)" for name in SMALL_MODELS]
