"""The transformers names that are not stable public API, imported in this one file only.

When a transformers release moves one of them, this file is all that has to follow.
"""

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedModel, initialization
from transformers.activations import ACT2FN
from transformers.backbone_utils import BackboneConfigMixin, BackboneMixin, filter_output_hidden_states
from transformers.feature_extraction_utils import BatchFeature
from transformers.image_processing_backends import PilBackend, TorchvisionBackend
from transformers.image_utils import (
    IMAGENET_DEFAULT_MEAN,
    IMAGENET_DEFAULT_STD,
    ChannelDimension,
    ImageInput,
    PILImageResampling,
    SizeDict,
    load_image,
)
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BackboneOutput, ImageClassifierOutput
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES,
    MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES,
    MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING_NAMES,
)
from transformers.processing_utils import ImagesKwargs, Unpack
from transformers.utils import TransformersKwargs, cached_file
from transformers.utils import logging as transformers_logging
from transformers.utils.generic import can_return_tuple, merge_with_config_defaults
from transformers.utils.logging import disable_progress_bar
from transformers.utils.output_capturing import OutputRecorder, capture_outputs

try:
    from transformers.image_processing_outputs import SemanticSegmentationPostProcessorOutput
except ImportError:  # not in every transformers release this package runs with

    class SemanticSegmentationPostProcessorOutput(BatchFeature):  # type: ignore[no-redef]
        """`segmentation` (height, width) and `segmentation_scores` (num_labels, height, width) of one image."""


def enable_gradient_checkpointing(model: PreTrainedModel) -> None:
    """Makes the model's layers compute their activations again in the backward pass instead of keeping them."""
    # transformers 5.23 renamed the method.
    getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()


__all__ = [
    "ACT2FN",
    "ALL_ATTENTION_FUNCTIONS",
    "BackboneConfigMixin",
    "BackboneMixin",
    "BackboneOutput",
    "BatchFeature",
    "ChannelDimension",
    "GradientCheckpointingLayer",
    "IMAGENET_DEFAULT_MEAN",
    "IMAGENET_DEFAULT_STD",
    "ImageInput",
    "ImagesKwargs",
    "ImageClassifierOutput",
    "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES",
    "MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES",
    "MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING_NAMES",
    "OutputRecorder",
    "PILImageResampling",
    "PilBackend",
    "SemanticSegmentationPostProcessorOutput",
    "SizeDict",
    "TorchvisionBackend",
    "TransformersKwargs",
    "Unpack",
    "cached_file",
    "can_return_tuple",
    "capture_outputs",
    "disable_progress_bar",
    "enable_gradient_checkpointing",
    "filter_output_hidden_states",
    "initialization",
    "load_image",
    "merge_with_config_defaults",
    "strict",
    "transformers_logging",
]
