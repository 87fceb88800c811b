"""Registers the architectures with the Auto classes, and writes the thin file for trust_remote_code users."""

import json
from dataclasses import dataclass
from pathlib import Path

from transformers import (
    AutoBackbone,
    AutoConfig,
    AutoImageProcessor,
    AutoModelForSemanticSegmentation,
    PreTrainedConfig,
    PreTrainedModel,
)

from segvit_hf._compat import MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING_NAMES
from segvit_hf.models.segmenter.configuration_segmenter import SegmenterConfig
from segvit_hf.models.segmenter.image_processing_segmenter import SegmenterImageProcessor, SegmenterImageProcessorPil
from segvit_hf.models.segmenter.modeling_segmenter import SegmenterForSemanticSegmentation
from segvit_hf.models.segvit.configuration_segvit import SegVitConfig
from segvit_hf.models.segvit.image_processing_segvit import SegVitImageProcessor, SegVitImageProcessorPil
from segvit_hf.models.segvit.modeling_segvit import SegVitForSemanticSegmentation
from segvit_hf.models.setr.configuration_setr import SetrConfig
from segvit_hf.models.setr.image_processing_setr import SetrImageProcessor, SetrImageProcessorPil
from segvit_hf.models.setr.modeling_setr import SetrForSemanticSegmentation
from segvit_hf.models.vit_adapter.configuration_vit_adapter import VitAdapterConfig
from segvit_hf.models.vit_adapter.image_processing_vit_adapter import (
    VitAdapterImageProcessor,
    VitAdapterImageProcessorPil,
)
from segvit_hf.models.vit_adapter.modeling_vit_adapter import VitAdapterBackbone, VitAdapterForSemanticSegmentation


@dataclass(frozen=True)
class Architecture:
    """The classes of one architecture."""

    config: type[PreTrainedConfig]
    semantic_segmentation: type[PreTrainedModel]
    image_processor: type
    image_processor_pil: type
    backbone: type[PreTrainedModel] | None = None


ARCHITECTURES = (
    Architecture(
        config=SegVitConfig,
        semantic_segmentation=SegVitForSemanticSegmentation,
        image_processor=SegVitImageProcessor,
        image_processor_pil=SegVitImageProcessorPil,
    ),
    Architecture(
        config=SegmenterConfig,
        semantic_segmentation=SegmenterForSemanticSegmentation,
        image_processor=SegmenterImageProcessor,
        image_processor_pil=SegmenterImageProcessorPil,
    ),
    Architecture(
        config=SetrConfig,
        semantic_segmentation=SetrForSemanticSegmentation,
        image_processor=SetrImageProcessor,
        image_processor_pil=SetrImageProcessorPil,
    ),
    Architecture(
        config=VitAdapterConfig,
        semantic_segmentation=VitAdapterForSemanticSegmentation,
        image_processor=VitAdapterImageProcessor,
        image_processor_pil=VitAdapterImageProcessorPil,
        backbone=VitAdapterBackbone,
    ),
)


def register_architectures() -> None:
    """Makes the Auto classes for configurations, models, backbones and image processors know every architecture."""
    for architecture in ARCHITECTURES:
        config = architecture.config
        AutoConfig.register(config.model_type, config, exist_ok=True)
        AutoModelForSemanticSegmentation.register(config, architecture.semantic_segmentation, exist_ok=True)
        if architecture.backbone is not None:
            AutoBackbone.register(config, architecture.backbone, exist_ok=True)
        AutoImageProcessor.register(
            config,
            image_processor_classes={
                "torchvision": architecture.image_processor,
                "pil": architecture.image_processor_pil,
            },
            exist_ok=True,
        )
        # The image-segmentation pipeline compares class names with this table and logs an error for any other.
        MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING_NAMES[config.model_type] = architecture.semantic_segmentation.__name__


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
    content = json.loads(config_file.read_text())
    model_type = content.get("model_type")
    architectures = {architecture.config.model_type: architecture for architecture in ARCHITECTURES}
    if model_type not in architectures:
        raise ValueError(f"{config_file}: expected a model_type among {sorted(architectures)}, found {model_type!r}.")
    architecture = architectures[model_type]
    module = "segvit_hf_auto"
    classes = {
        "AutoConfig": architecture.config,
        "AutoModelForSemanticSegmentation": architecture.semantic_segmentation,
        "AutoImageProcessor": architecture.image_processor,
    }
    names = [class_.__name__ for class_ in (*classes.values(), architecture.image_processor_pil)]
    imports = "".join(f"    {name},\n" for name in names)
    _write(
        folder / f"{module}.py",
        '"""Loads the classes of the segvit_hf package (pip install segvit-hf)."""\n\n'
        f"from segvit_hf import (\n{imports})\n\n__all__ = {json.dumps(names)}\n",
    )
    auto_map = {auto: f"{module}.{class_.__name__}" for auto, class_ in classes.items()}
    _write(config_file, json.dumps({**content, "auto_map": auto_map}, indent=2, sort_keys=True) + "\n")


def _write(file: Path, text: str) -> None:
    temporary = file.with_name(file.name + ".tmp")
    temporary.write_text(text)
    temporary.replace(file)


__all__ = ["ARCHITECTURES", "Architecture", "add_remote_code", "register_architectures"]
