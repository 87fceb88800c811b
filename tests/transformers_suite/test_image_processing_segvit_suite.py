"""transformers' common tests of image processors, on SegViT's two backends."""

import unittest

from segvit_hf import SegVitImageProcessor, SegVitImageProcessorPil
from tests.transformers_suite.image_processing_suite import ImageProcessingSuite


class SegVitImageProcessingSuiteTest(ImageProcessingSuite, unittest.TestCase):
    torchvision_class = SegVitImageProcessor
    pil_class = SegVitImageProcessorPil
