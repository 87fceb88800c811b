"""transformers' common tests on models with a transformers backbone: DINOv2, and DINOv3 with an adapter."""

import unittest

from transformers import Dinov2Config, DINOv3ViTConfig

from segvit_hf import SegmenterForSemanticSegmentation, VitAdapterForSemanticSegmentation
from tests.transformers_suite.model_suite import SemanticSegmentationSuite
from tests.transformers_suite.test_segmenter_suite import TINY_ENCODER
from tests.transformers_suite.test_vit_adapter_suite import TINY_UPERNET

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
# What the tester reads, and the models take from their backbones.
ENCODER = {**SIZES, "image_size": 32, "num_labels": 5}


class SegmenterOnDinov2SuiteTest(SemanticSegmentationSuite, unittest.TestCase):
    model_class = SegmenterForSemanticSegmentation
    fields = {
        **ENCODER,
        "backbone_config": Dinov2Config(**SIZES, image_size=32, patch_size=8, mlp_ratio=2).to_dict(),
        "drop_path_rate": TINY_ENCODER["drop_path_rate"],
        "decoder_hidden_size": 16,
        "decoder_num_attention_heads": 2,
        "decoder_dropout": 0.0,
    }
    num_tokens = 17


class VitAdapterOnDinov3SuiteTest(SemanticSegmentationSuite, unittest.TestCase):
    model_class = VitAdapterForSemanticSegmentation
    fields = {
        **ENCODER,
        **TINY_UPERNET,
        "backbone_config": DINOv3ViTConfig(
            **SIZES, image_size=32, intermediate_size=37, num_register_tokens=2, pos_embed_rescale=None
        ).to_dict(),
        "freeze_backbone": False,
        "drop_path_rate": 0.0,
        "encoder_out_indices": [0, 1],
        "add_vit_features": False,
        "spatial_prior_hidden_size": 8,
        "adapter_num_attention_heads": 4,
    }
    num_tokens = 7
