"""Registers the architectures with the Auto classes."""

from transformers import (
    AutoBackbone,
    AutoConfig,
    AutoImageProcessor,
    AutoModelForImageClassification,
    AutoModelForObjectDetection,
    AutoModelForSemanticSegmentation,
)

from segvit_hf._compat import (
    MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES,
    MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES,
    MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING_NAMES,
)
from segvit_hf.architectures import ARCHITECTURES, Architecture
from segvit_hf.remote_code import add_remote_code


def register_architectures() -> None:
    """Makes the Auto classes for configurations, models, backbones and image processors know every architecture."""
    for architecture in ARCHITECTURES:
        config = architecture.config
        AutoConfig.register(config.model_type, config, exist_ok=True)
        for auto_class, names, model_class in (
            (
                AutoModelForSemanticSegmentation,
                MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING_NAMES,
                architecture.semantic_segmentation,
            ),
            (
                AutoModelForImageClassification,
                MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES,
                architecture.image_classification,
            ),
            (AutoModelForObjectDetection, MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES, architecture.object_detection),
        ):
            if model_class is not None:
                auto_class.register(config, model_class, exist_ok=True)
                # The pipelines compare class names with these tables and log an error for any other.
                names[config.model_type] = model_class.__name__
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


__all__ = ["ARCHITECTURES", "Architecture", "add_remote_code", "register_architectures"]
