"""Imports point one way: models -> encoders -> layers -> transformers. Image processors stand beside the models."""

import ast
from pathlib import Path

import pytest

import segvit_hf

PACKAGE = Path(segvit_hf.__file__).parent
ALLOWED = {
    "layers": {"_compat", "layers"},
    "encoders": {"_compat", "layers", "encoders"},
    "models": {"_compat", "layers", "encoders", "models"},
}


def imported_folders(file: Path) -> set[str]:
    """The parts of this package that a file imports from."""
    modules = [node.module or "" for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ImportFrom)]
    return {module.split(".")[1] for module in modules if module.startswith("segvit_hf.")}


@pytest.mark.parametrize("folder", ALLOWED)
def test_a_folder_imports_only_what_it_is_built_on(folder: str) -> None:
    files = [path for path in (PACKAGE / folder).rglob("*.py") if not path.name.startswith("image_processing_")]
    assert len(files) > 5
    for file in files:
        assert imported_folders(file) <= ALLOWED[folder], file
