"""transformers' common tests of image processors, for the two backends of one of our architectures.

A test module subclasses `ImageProcessingSuite` together with `unittest.TestCase` and names the two classes.
"""

import unittest
from typing import Any, ClassVar
from unittest.mock import patch

import tests_common.test_image_processing_common as common
from PIL import Image

from segvit_hf.image_processing.processor import SemanticSegmentationImageProcessorKwargs
from tests.reference import FIXTURES


def load_photo(url: str) -> Image.Image:
    """A photo of the fixtures in place of those that the suite downloads."""
    with Image.open(FIXTURES / "photos" / "coffee.png") as photo:
        return photo.convert("RGB")


class TwoBackendsTester(common.ImageProcessingTester):
    """Small square inputs; the processor classes are named here because the suite only knows transformers' own."""

    num_labels = 5

    def __init__(self, parent: "ImageProcessingSuite", **kwargs: Any) -> None:
        self.backends = {"torchvision": parent.torchvision_class, "pil": parent.pil_class}
        kwargs.setdefault("do_resize", True)
        kwargs.setdefault("size", {"height": 32, "width": 32})
        kwargs.setdefault("image_mean", [0.485, 0.456, 0.406])
        kwargs.setdefault("image_std", [0.229, 0.224, 0.225])
        kwargs.setdefault("do_reduce_labels", False)
        super().__init__(parent, **kwargs)

    def _get_image_processing_classes(self) -> dict[str, Any]:
        return self.backends


class ImageProcessingSuite(common.ImageProcessingTestMixin, common.PostProcessSemanticSegmentationTestMixin):
    """Subclasses give the classes of the two backends."""

    torchvision_class: ClassVar[type]
    pil_class: ClassVar[type]
    image_processor_tester_class = TwoBackendsTester
    # Both backends share their arithmetic, so they agree however much a photo shrinks.
    backend_equivalence_atol = 1e-6
    test_cast_dtype = True

    def setUp(self) -> None:
        photos = patch.object(common, "load_test_image", load_photo)
        photos.start()
        self.addCleanup(photos.stop)
        super().setUp()

    def test_valid_kwargs_set(self) -> None:
        # The suite looks for a class of fields in every processor's own file; ours share one.
        for image_processing_class in (self.torchvision_class, self.pil_class):
            self.assertIs(image_processing_class.valid_kwargs, SemanticSegmentationImageProcessorKwargs)

    @unittest.skip("its subprocess does not import segvit_hf; tests/image_processing/test_backends.py does the same")
    def test_pil_can_run_without_torchvision(self) -> None:
        pass
