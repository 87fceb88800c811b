"""Registers the architectures with the Auto classes."""

from transformers import AutoBackbone, AutoConfig, AutoImageProcessor, AutoModelForSemanticSegmentation

from segvit_hf._compat import MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING_NAMES
from segvit_hf.architectures import ARCHITECTURES, Architecture
from segvit_hf.remote_code import add_remote_code


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


__all__ = ["ARCHITECTURES", "Architecture", "add_remote_code", "register_architectures"]
