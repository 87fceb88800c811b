"""transformers' common tests on HLG: segmentation, classification, detection, and the backbone."""

import unittest
from typing import Any

import torch
from tests_common.test_backbone_common import BackboneTesterMixin
from tests_common.test_modeling_common import ids_tensor

from segvit_hf import (
    HlgBackbone,
    HlgConfig,
    HlgForImageClassification,
    HlgForObjectDetection,
    HlgForSemanticSegmentation,
)
from tests.transformers_suite.model_suite import SemanticSegmentationModelTester, SemanticSegmentationSuite

SIZE = 32
TINY_HLG = {
    "hidden_sizes": [16, 16, 32, 32],
    "depths": [1, 1, 1, 1],
    "num_attention_heads": [1, 1, 2, 2],
    "num_labels": 5,
    "decoder_hidden_size": 32,
    "decoder_dropout": 0.0,
    "auxiliary_hidden_size": 8,
    "pyramid_hidden_size": 16,
    "detector_num_convolutions": 1,
    # The suite compares outputs in train mode, too.
    "drop_path_rate": 0.0,
}
STRIDES = (2, 4, 8, 16, 32)  # of the stem and of the four layers


class HlgTester(SemanticSegmentationModelTester):
    """Sizes that the suite asks for are those of a hierarchical encoder's first layer."""

    def __init__(self, fields: dict[str, Any], batch_size: int) -> None:
        known = {"image_size": SIZE, "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 1}
        super().__init__(HlgConfig, {**known, **fields}, num_tokens=(SIZE // 4) ** 2, batch_size=batch_size)
        self.fields = fields


class HlgSuite(SemanticSegmentationSuite):
    """What differs from the plain ViTs of the other architectures: maps as hidden states, keys that are windows."""

    fields = TINY_HLG
    num_tokens = 64

    # Widths and heads are lists, one number for each stage.
    common_properties = ("num_channels", "num_hidden_layers", "hidden_sizes")

    def make_tester(self) -> HlgTester:
        return HlgTester(self.fields, self.batch_size)

    @unittest.skip("four stages are the fewest; they have one layer each")
    def test_num_layers_is_small(self) -> None:
        pass

    def test_hidden_states_output(self) -> None:
        # The suite expects one shape for all layers.
        config, pixel_values, _ = self.model_tester.prepare_config_and_inputs()
        model = self.model_class(config).eval()
        with torch.no_grad():
            hidden_states = model(pixel_values, output_hidden_states=True).hidden_states
        widths = [config.hidden_sizes[0], *config.hidden_sizes]
        expected = [(self.batch_size, width, SIZE // s, SIZE // s) for width, s in zip(widths, STRIDES, strict=True)]
        self.assertEqual([tuple(states.shape) for states in hidden_states], expected)

    def test_attention_outputs(self) -> None:
        # The suite expects as many keys as tokens.
        config, pixel_values, _ = self.model_tester.prepare_config_and_inputs()
        model = self.model_class(config).eval()
        with torch.no_grad():
            attentions = model(pixel_values, output_attentions=True).attentions
        shapes = [tuple(probabilities.shape) for probabilities in attentions]
        self.assertEqual(shapes, [(3, 1, 64, 4), (3, 1, 16, 1), (3, 2, 4, 1), (3, 2, 1, 1)])
        for probabilities in attentions:
            torch.testing.assert_close(probabilities.sum(-1), torch.ones_like(probabilities[..., 0]))


class HlgForSemanticSegmentationSuiteTest(HlgSuite, unittest.TestCase):
    model_class = HlgForSemanticSegmentation


class HlgForImageClassificationSuiteTest(HlgSuite, unittest.TestCase):
    model_class = HlgForImageClassification

    def test_model_gives_scores_of_the_input_size(self) -> None:
        config, pixel_values, _ = self.model_tester.prepare_config_and_inputs()
        model = self.model_class(config).eval()
        with torch.no_grad():
            outputs = model(pixel_values, labels=ids_tensor([self.batch_size], config.num_labels))
        self.assertEqual(tuple(outputs.logits.shape), (self.batch_size, config.num_labels))
        self.assertGreater(outputs.loss.item(), 0.0)


class HlgForObjectDetectionSuiteTest(HlgSuite, unittest.TestCase):
    model_class = HlgForObjectDetection

    def _prepare_for_class(self, inputs: Any, model_class: Any, return_labels: bool = False) -> dict[str, Any]:
        inputs = super()._prepare_for_class(inputs, model_class, return_labels=False)
        if return_labels:
            boxes = torch.tensor([[0.5, 0.5, 0.6, 0.4], [0.3, 0.6, 0.2, 0.2]])
            target = {"class_labels": torch.tensor([1, 4]), "boxes": boxes}
            inputs["labels"] = [target] * self.batch_size
        return inputs

    def test_model_gives_scores_of_the_input_size(self) -> None:
        config, inputs = self.model_tester.prepare_config_and_inputs_for_common()
        model = self.model_class(config).eval()
        with torch.no_grad():
            outputs = model(**self._prepare_for_class(inputs, self.model_class, return_labels=True))
        num_boxes = 9 * (16 + 4 + 1 + 1 + 1)
        self.assertEqual(tuple(outputs.logits.shape), (self.batch_size, num_boxes, config.num_labels))
        self.assertEqual(tuple(outputs.pred_boxes.shape), (self.batch_size, num_boxes, 4))
        self.assertGreater(outputs.loss.item(), 0.0)


class HlgBackboneSuiteTest(BackboneTesterMixin, unittest.TestCase):
    all_model_classes = (HlgBackbone,)
    config_class = HlgConfig

    def setUp(self) -> None:
        self.model_tester = HlgTester(dict(TINY_HLG), batch_size=2)

    def test_feature_maps_have_strides_4_to_32_at_any_size(self) -> None:
        backbone = HlgBackbone(self.model_tester.get_config()).eval()
        with torch.no_grad():
            maps = backbone(torch.randn(1, 3, 70, 33)).feature_maps
        self.assertEqual([tuple(m.shape[-2:]) for m in maps], [(18, 9), (9, 5), (5, 3), (3, 2)])
