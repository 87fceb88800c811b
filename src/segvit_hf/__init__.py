"""Plain-ViT semantic segmentation for transformers.

Importing this package registers its architectures with transformers' Auto classes, so that
`AutoModelForSemanticSegmentation.from_pretrained` and `pipeline("image-segmentation")` load them.
"""

from segvit_hf.inference.segment import segment
from segvit_hf.models.hlg.configuration_hlg import HlgConfig
from segvit_hf.models.hlg.image_processing_hlg import HlgImageProcessor, HlgImageProcessorPil
from segvit_hf.models.hlg.modeling_hlg import HlgBackbone, HlgForImageClassification, HlgForSemanticSegmentation
from segvit_hf.models.hlg.object_detection_hlg import HlgForObjectDetection
from segvit_hf.models.linear_head.configuration_linear_head import LinearHeadConfig
from segvit_hf.models.linear_head.image_processing_linear_head import (
    LinearHeadImageProcessor,
    LinearHeadImageProcessorPil,
)
from segvit_hf.models.linear_head.modeling_linear_head import LinearHeadForSemanticSegmentation
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
from segvit_hf.presets import create_model, get_preset, list_presets
from segvit_hf.registration import register_architectures
from segvit_hf.remote_code import add_remote_code

__version__ = "0.2.0"

register_architectures()

__all__ = [
    "HlgBackbone",
    "HlgConfig",
    "HlgForImageClassification",
    "HlgForObjectDetection",
    "HlgForSemanticSegmentation",
    "HlgImageProcessor",
    "HlgImageProcessorPil",
    "LinearHeadConfig",
    "LinearHeadForSemanticSegmentation",
    "LinearHeadImageProcessor",
    "LinearHeadImageProcessorPil",
    "SegVitConfig",
    "SegVitForSemanticSegmentation",
    "SegVitImageProcessor",
    "SegVitImageProcessorPil",
    "SegmenterConfig",
    "SegmenterForSemanticSegmentation",
    "SegmenterImageProcessor",
    "SegmenterImageProcessorPil",
    "SetrConfig",
    "SetrForSemanticSegmentation",
    "SetrImageProcessor",
    "SetrImageProcessorPil",
    "VitAdapterBackbone",
    "VitAdapterConfig",
    "VitAdapterForSemanticSegmentation",
    "VitAdapterImageProcessor",
    "VitAdapterImageProcessorPil",
    "add_remote_code",
    "create_model",
    "get_preset",
    "list_presets",
    "segment",
]
