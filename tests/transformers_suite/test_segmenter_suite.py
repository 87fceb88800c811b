"""transformers' common tests on Segmenter: the mask transformer and the linear decoder."""

import unittest

from segvit_hf import SegmenterForSemanticSegmentation
from tests.transformers_suite.model_suite import SemanticSegmentationSuite

TINY_ENCODER = {
    "image_size": 32,
    "patch_size": 8,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 37,
    "num_labels": 5,
    # The suite compares outputs in train mode, too.
    "drop_path_rate": 0.0,
}


class SegmenterMaskSuiteTest(SemanticSegmentationSuite, unittest.TestCase):
    model_class = SegmenterForSemanticSegmentation
    fields = {
        **TINY_ENCODER,
        "decoder_num_layers": 2,
        "decoder_hidden_size": 16,
        "decoder_num_attention_heads": 2,
        "decoder_intermediate_size": 24,
        "decoder_dropout": 0.0,
    }
    num_tokens = 17


class SegmenterLinearSuiteTest(SemanticSegmentationSuite, unittest.TestCase):
    model_class = SegmenterForSemanticSegmentation
    fields = {**TINY_ENCODER, "decoder_type": "linear", "use_distillation_token": True}
    num_tokens = 18
