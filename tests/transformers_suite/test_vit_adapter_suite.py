"""transformers' common tests on ViT-Adapter: plain ViT with UperNet, BEiT with Mask2Former, and the backbone."""

import unittest

import torch
from tests_common.test_backbone_common import BackboneTesterMixin
from transformers import PreTrainedConfig

from segvit_hf import VitAdapterBackbone, VitAdapterConfig, VitAdapterForSemanticSegmentation
from tests.transformers_suite.model_suite import SemanticSegmentationModelTester, SemanticSegmentationSuite

TINY_ENCODER = {
    "image_size": 32,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 37,
    "spatial_prior_hidden_size": 8,
    "adapter_num_attention_heads": 4,
    "num_labels": 5,
    # The suite wants at most two layers, the sum with the ViT's features four interactions.
    "encoder_out_indices": [0, 1],
    "add_vit_features": False,
    # The suite compares outputs in train mode, too.
    "drop_path_rate": 0.0,
}
TINY_BEIT = {
    **TINY_ENCODER,
    "use_class_token": True,
    "use_position_embeddings": False,
    "use_relative_position_bias": True,
    "adapter_value_ratio": 0.5,
}
TINY_UPERNET = {"decoder_hidden_size": 16, "decoder_dropout": 0.0, "auxiliary_hidden_size": 16, "pool_scales": [1, 2]}
TINY_MASK2FORMER = {
    "decoder_type": "mask2former",
    "decoder_hidden_size": 64,
    "num_queries": 6,
    "pixel_decoder_num_layers": 1,
    "pixel_decoder_num_attention_heads": 4,
    "pixel_decoder_intermediate_size": 32,
    "decoder_num_layers": 2,
    "decoder_num_attention_heads": 4,
    "decoder_intermediate_size": 32,
    "num_points": 16,
}


class VitAdapterUperNetSuiteTest(SemanticSegmentationSuite, unittest.TestCase):
    model_class = VitAdapterForSemanticSegmentation
    fields = {**TINY_ENCODER, **TINY_UPERNET}
    num_tokens = 4


class VitAdapterMask2FormerSuiteTest(SemanticSegmentationSuite, unittest.TestCase):
    model_class = VitAdapterForSemanticSegmentation
    fields = {**TINY_BEIT, **TINY_MASK2FORMER}
    num_tokens = 5


class VitAdapterBackboneTester(SemanticSegmentationModelTester):
    def get_config(self) -> PreTrainedConfig:
        return self.config_class(**self.fields, out_indices=[1, 2, 3, 4])


class VitAdapterBackboneSuiteTest(BackboneTesterMixin, unittest.TestCase):
    all_model_classes = (VitAdapterBackbone,)
    config_class = VitAdapterConfig

    def setUp(self) -> None:
        self.model_tester = VitAdapterBackboneTester(VitAdapterConfig, dict(TINY_BEIT), num_tokens=5, batch_size=2)

    def test_feature_maps_have_strides_4_to_32_at_any_size(self) -> None:
        backbone = VitAdapterBackbone(self.model_tester.get_config()).eval()
        with torch.no_grad():
            maps = backbone(torch.randn(1, 3, 70, 33)).feature_maps
        self.assertEqual([tuple(m.shape[-2:]) for m in maps], [(18, 9), (9, 5), (5, 3), (3, 2)])
