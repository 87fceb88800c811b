"""transformers' common tests of image processors, on HLG's two backends."""

import unittest

from segvit_hf import HlgImageProcessor, HlgImageProcessorPil
from tests.transformers_suite.image_processing_suite import ImageProcessingSuite


class HlgImageProcessingSuiteTest(ImageProcessingSuite, unittest.TestCase):
    torchvision_class = HlgImageProcessor
    pil_class = HlgImageProcessorPil
