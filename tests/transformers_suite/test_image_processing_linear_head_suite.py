"""transformers' common tests of image processors, on the linear head's two backends."""

import unittest

from segvit_hf import LinearHeadImageProcessor, LinearHeadImageProcessorPil
from tests.transformers_suite.image_processing_suite import ImageProcessingSuite


class LinearHeadImageProcessingSuiteTest(ImageProcessingSuite, unittest.TestCase):
    torchvision_class = LinearHeadImageProcessor
    pil_class = LinearHeadImageProcessorPil
