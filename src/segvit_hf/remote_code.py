"""The thin file with which a saved model loads through `trust_remote_code=True`."""

import json
from collections.abc import Sequence
from pathlib import Path

from segvit_hf.architectures import ARCHITECTURES, Architecture
from segvit_hf.files import write_text

REMOTE_MODULE = "segvit_hf_auto"


def add_remote_code(folder: str | Path) -> None:
    """Lets a saved model load with `trust_remote_code=True` where `segvit_hf` is installed but was not imported.

    Writes `segvit_hf_auto.py`, which only imports our classes, and an `auto_map` into config.json. The image
    processor's entry stands there too: in preprocessor_config.json, the pipelines would take it for a video
    processor's and ask whether to run it, even where `segvit_hf` was imported.

    Args:
        folder: A folder written by `save_pretrained`.

    Raises:
        FileNotFoundError: `folder` has no config.json.
        ValueError: The configuration is not of one of our architectures.
    """
    folder = Path(folder)
    config_file = folder / "config.json"
    if not config_file.is_file():
        raise FileNotFoundError(f"{config_file}: expected the configuration that save_pretrained writes.")
    content = json.loads(config_file.read_text(encoding="utf-8"))
    model_type = content.get("model_type")
    architectures = {architecture.config.model_type: architecture for architecture in ARCHITECTURES}
    if model_type not in architectures:
        raise ValueError(f"{config_file}: expected a model_type among {sorted(architectures)}, found {model_type!r}.")
    architecture = architectures[model_type]
    classes = _auto_classes(architecture, content.get("architectures") or [])
    others = [architecture.image_processor_pil] if "AutoImageProcessor" in classes else []
    names = [class_.__name__ for class_ in (*classes.values(), *others)]
    imports = "".join(f"    {name},\n" for name in names)
    write_text(
        folder / f"{REMOTE_MODULE}.py",
        '"""Loads the classes of the segvit_hf package (pip install segvit-hf)."""\n\n'
        f"from segvit_hf import (\n{imports})\n\n__all__ = {json.dumps(names)}\n",
    )
    auto_map = {auto: f"{REMOTE_MODULE}.{class_.__name__}" for auto, class_ in classes.items()}
    write_text(config_file, json.dumps({**content, "auto_map": auto_map}, indent=2, sort_keys=True) + "\n")


def _auto_classes(architecture: Architecture, names: Sequence[str]) -> dict[str, type]:
    """By Auto class, what a model's folder needs: a classifier has an image processor of transformers' own."""
    classes: dict[str, type] = {"AutoConfig": architecture.config}
    if architecture.image_classification is not None and architecture.image_classification.__name__ in names:
        return {**classes, "AutoModelForImageClassification": architecture.image_classification}
    if architecture.object_detection is not None and architecture.object_detection.__name__ in names:
        classes["AutoModelForObjectDetection"] = architecture.object_detection
    else:
        classes["AutoModelForSemanticSegmentation"] = architecture.semantic_segmentation
    return {**classes, "AutoImageProcessor": architecture.image_processor}


__all__ = ["REMOTE_MODULE", "add_remote_code"]
