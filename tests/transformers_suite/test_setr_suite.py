"""transformers' common tests on SETR: the naive, the progressive and the multi-level decoder."""

import unittest

from segvit_hf import SetrForSemanticSegmentation
from tests.transformers_suite.model_suite import SemanticSegmentationSuite

TINY = {
    "image_size": 32,
    "patch_size": 8,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 37,
    "encoder_out_indices": [0, 1],
    "num_labels": 5,
    "decoder_hidden_size": 8,
    "mla_head_hidden_size": 8,
}


class SetrNaiveSuiteTest(SemanticSegmentationSuite, unittest.TestCase):
    model_class = SetrForSemanticSegmentation
    fields = {**TINY, "decoder_type": "naive"}
    num_tokens = 17


class SetrPupSuiteTest(SemanticSegmentationSuite, unittest.TestCase):
    model_class = SetrForSemanticSegmentation
    fields = {**TINY, "decoder_type": "pup"}
    num_tokens = 17


class SetrMlaSuiteTest(SemanticSegmentationSuite, unittest.TestCase):
    model_class = SetrForSemanticSegmentation
    fields = {**TINY, "decoder_type": "mla"}
    num_tokens = 16
