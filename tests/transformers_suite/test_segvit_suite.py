"""transformers' common tests on SegViT: the cascade over encoder stages, the Shrunk variant, SegViTv2 with BEiT."""

import unittest

from segvit_hf import SegVitForSemanticSegmentation
from tests.transformers_suite.model_suite import SemanticSegmentationSuite

TINY_ENCODER = {
    "image_size": 32,
    "patch_size": 8,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 37,
    "encoder_out_indices": [0, 1],
    "num_labels": 5,
    # The suite compares outputs in train mode, too.
    "drop_path_rate": 0.0,
}
TINY_DECODER = {
    "decoder_hidden_size": 16,
    "decoder_num_layers": 2,
    "decoder_num_attention_heads": 2,
    "decoder_intermediate_size": 24,
    "decoder_dropout": 0.0,
    "num_decoder_stages": 2,
}


class SegVitCascadeSuiteTest(SemanticSegmentationSuite, unittest.TestCase):
    model_class = SegVitForSemanticSegmentation
    fields = {**TINY_ENCODER, **TINY_DECODER}
    num_tokens = 16


class SegVitShrunkSuiteTest(SemanticSegmentationSuite, unittest.TestCase):
    model_class = SegVitForSemanticSegmentation
    fields = {**TINY_ENCODER, **TINY_DECODER, "shrink_index": 1, "use_token_pyramid": True, "token_pyramid_stride": 8}
    num_tokens = 16


class SegVitVersion2SuiteTest(SemanticSegmentationSuite, unittest.TestCase):
    model_class = SegVitForSemanticSegmentation
    fields = {
        **TINY_ENCODER,
        **TINY_DECODER,
        "shared_class_head": True,
        "drop_prefix_tokens": False,
        "use_position_embeddings": False,
        "use_relative_position_bias": True,
        "layer_scale_init_value": 0.1,
    }
    num_tokens = 17


class SegVitAddedClassesSuiteTest(SemanticSegmentationSuite, unittest.TestCase):
    model_class = SegVitForSemanticSegmentation
    fields = {**TINY_ENCODER, **TINY_DECODER, "added_class_counts": [2], "shared_class_head": True}
    num_tokens = 16
