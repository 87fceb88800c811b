"""transformers' common tests of image processors, on Segmenter's two backends."""

import unittest

from segvit_hf import SegmenterImageProcessor, SegmenterImageProcessorPil
from tests.transformers_suite.image_processing_suite import ImageProcessingSuite


class SegmenterImageProcessingSuiteTest(ImageProcessingSuite, unittest.TestCase):
    torchvision_class = SegmenterImageProcessor
    pil_class = SegmenterImageProcessorPil
