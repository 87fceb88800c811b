"""The table of architectures: the classes that the Auto classes and `add_remote_code` have to know."""

from dataclasses import dataclass

from transformers import PreTrainedConfig, PreTrainedModel

from segvit_hf.models.hlg.image_processing_hlg import HlgImageProcessor, HlgImageProcessorPil
from segvit_hf.models.hlg.modeling_hlg import HlgBackbone, HlgForImageClassification, HlgForSemanticSegmentation
from segvit_hf.models.hlg.object_detection_hlg import HlgForObjectDetection
from segvit_hf.models.linear_head.image_processing_linear_head import (
    LinearHeadImageProcessor,
    LinearHeadImageProcessorPil,
)
from segvit_hf.models.linear_head.modeling_linear_head import LinearHeadForSemanticSegmentation
from segvit_hf.models.segmenter.image_processing_segmenter import SegmenterImageProcessor, SegmenterImageProcessorPil
from segvit_hf.models.segmenter.modeling_segmenter import SegmenterForSemanticSegmentation
from segvit_hf.models.segvit.image_processing_segvit import SegVitImageProcessor, SegVitImageProcessorPil
from segvit_hf.models.segvit.modeling_segvit import SegVitForSemanticSegmentation
from segvit_hf.models.setr.image_processing_setr import SetrImageProcessor, SetrImageProcessorPil
from segvit_hf.models.setr.modeling_setr import SetrForSemanticSegmentation
from segvit_hf.models.vit_adapter.image_processing_vit_adapter import (
    VitAdapterImageProcessor,
    VitAdapterImageProcessorPil,
)
from segvit_hf.models.vit_adapter.modeling_vit_adapter import VitAdapterBackbone, VitAdapterForSemanticSegmentation


@dataclass(frozen=True)
class Architecture:
    """The classes of one architecture; its configuration class is the model's."""

    semantic_segmentation: type[PreTrainedModel]
    image_processor: type
    image_processor_pil: type
    backbone: type[PreTrainedModel] | None = None
    image_classification: type[PreTrainedModel] | None = None
    object_detection: type[PreTrainedModel] | None = None

    def model_class(self, config: PreTrainedConfig) -> type[PreTrainedModel]:
        """The model that a configuration is of: that which its `architectures` name, by default the segmenter."""
        classes = (self.image_classification, self.object_detection)
        names = config.architectures or []
        return next((c for c in classes if c is not None and c.__name__ in names), self.semantic_segmentation)

    @property
    def config(self) -> type[PreTrainedConfig]:
        """The configuration class."""
        config_class = self.semantic_segmentation.config_class
        assert config_class is not None  # every model annotates its configuration
        return config_class


ARCHITECTURES = (
    Architecture(SegVitForSemanticSegmentation, SegVitImageProcessor, SegVitImageProcessorPil),
    Architecture(SegmenterForSemanticSegmentation, SegmenterImageProcessor, SegmenterImageProcessorPil),
    Architecture(SetrForSemanticSegmentation, SetrImageProcessor, SetrImageProcessorPil),
    Architecture(
        VitAdapterForSemanticSegmentation,
        VitAdapterImageProcessor,
        VitAdapterImageProcessorPil,
        backbone=VitAdapterBackbone,
    ),
    Architecture(
        HlgForSemanticSegmentation,
        HlgImageProcessor,
        HlgImageProcessorPil,
        backbone=HlgBackbone,
        image_classification=HlgForImageClassification,
        object_detection=HlgForObjectDetection,
    ),
    Architecture(LinearHeadForSemanticSegmentation, LinearHeadImageProcessor, LinearHeadImageProcessorPil),
)


def get_architecture(model_type: str) -> Architecture:
    """The architecture of a model type.

    Raises:
        ValueError: There is none; lists those that there are.
    """
    by_type = {architecture.config.model_type: architecture for architecture in ARCHITECTURES}
    if model_type not in by_type:
        raise ValueError(f"expected a model type among {', '.join(sorted(by_type))}, found {model_type!r}.")
    return by_type[model_type]


__all__ = ["ARCHITECTURES", "Architecture", "get_architecture"]
