"""transformers' common tests of image processors, on SETR's two backends."""

import unittest

from segvit_hf import SetrImageProcessor, SetrImageProcessorPil
from tests.transformers_suite.image_processing_suite import ImageProcessingSuite


class SetrImageProcessingSuiteTest(ImageProcessingSuite, unittest.TestCase):
    torchvision_class = SetrImageProcessor
    pil_class = SetrImageProcessorPil
