"""transformers' common tests of image processors, on SegViT's two backends."""

import unittest

from segvit_hf import VitAdapterImageProcessor, VitAdapterImageProcessorPil
from tests.transformers_suite.image_processing_suite import ImageProcessingSuite


class VitAdapterImageProcessingSuiteTest(ImageProcessingSuite, unittest.TestCase):
    torchvision_class = VitAdapterImageProcessor
    pil_class = VitAdapterImageProcessorPil
