"""transformers' common tests on the linear head: one layer, and two layers of a gated ViT."""

import unittest

from segvit_hf import LinearHeadForSemanticSegmentation
from tests.transformers_suite.model_suite import SemanticSegmentationSuite

TINY_ENCODER = {
    "image_size": 32,
    "patch_size": 8,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 37,
    "num_labels": 5,
}


class LinearHeadSuiteTest(SemanticSegmentationSuite, unittest.TestCase):
    model_class = LinearHeadForSemanticSegmentation
    fields = TINY_ENCODER
    num_tokens = 17


class LinearHeadOnTwoLayersSuiteTest(SemanticSegmentationSuite, unittest.TestCase):
    model_class = LinearHeadForSemanticSegmentation
    fields = {**TINY_ENCODER, "use_gated_mlp": True, "hidden_act": "silu", "encoder_out_indices": [0, 1]}
    num_tokens = 17
