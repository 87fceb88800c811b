"""transformers' model and configuration tests for one of our semantic segmentation architectures.

A test module subclasses `SemanticSegmentationSuite` together with `unittest.TestCase`, once for each variant of the
architecture, and gives the classes and the fields of a tiny configuration.

The suite itself skips what does not concern these models, each time with its reason: tests of language models (tokens,
tied weights, mixtures of experts, rotary embeddings, composite models), tests of transformers' own sources (conversion
tables, tensor parallel plans), and tests that need an accelerator (compilation among them), Flash Attention, DeepSpeed
or downloaded kernels. What is skipped or overridden here says why in place.
"""

from typing import Any, ClassVar
from unittest.mock import patch

import torch
from tests_common.test_configuration_common import ConfigTester
from tests_common.test_modeling_common import floats_tensor, ids_tensor
from transformers import PreTrainedConfig, PreTrainedModel

from tests.transformers_suite.third_party import VisionModelTesterMixin, declare


class SemanticSegmentationModelTester:
    """What the suite asks of a model: a tiny configuration, random inputs, and the sizes that it checks outputs by.

    `fields` are those of the configuration; `num_tokens` is the length of the sequence in the encoder's first layer.
    """

    is_training = True

    def __init__(
        self, config_class: type[PreTrainedConfig], fields: dict[str, Any], num_tokens: int, batch_size: int
    ) -> None:
        self.config_class = config_class
        self.fields = fields
        self.batch_size = batch_size
        self.seq_length = num_tokens
        self.image_size: int = fields["image_size"]
        self.num_channels: int = fields.get("num_channels", 3)
        self.num_labels: int = fields["num_labels"]
        self.hidden_size: int = fields["hidden_size"]
        self.num_hidden_layers: int = fields["num_hidden_layers"]
        self.num_attention_heads: int = fields["num_attention_heads"]

    def get_config(self) -> PreTrainedConfig:
        return self.config_class(**self.fields)

    def prepare_config_and_inputs(self) -> tuple[PreTrainedConfig, torch.Tensor, torch.Tensor]:
        size = [self.image_size, self.image_size]
        pixel_values = floats_tensor([self.batch_size, self.num_channels, *size])
        labels = ids_tensor([self.batch_size, *size], self.num_labels)
        return self.get_config(), pixel_values, labels

    def prepare_config_and_inputs_for_common(self) -> tuple[PreTrainedConfig, dict[str, torch.Tensor]]:
        config, pixel_values, _ = self.prepare_config_and_inputs()
        return config, {"pixel_values": pixel_values}


class SemanticSegmentationSuite(VisionModelTesterMixin):
    """transformers' common tests of one model class and of its configuration.

    Subclasses give `model_class`, `fields` (of a model with at most two encoder layers and 1M parameters) and
    `num_tokens`.
    """

    model_class: ClassVar[type[PreTrainedModel]]
    fields: ClassVar[dict[str, Any]]
    num_tokens: ClassVar[int]
    batch_size: ClassVar[int] = 3
    common_properties: ClassVar[tuple[str, ...] | None] = None  # the suite's own

    def setUp(self) -> None:
        config_class = self.model_class.config_class
        assert config_class is not None, f"{self.model_class.__name__} names no configuration class"
        declare(semantic=[self.model_class.__name__])
        self.all_model_classes = (self.model_class,)
        self.model_tester = self.make_tester()
        # The tester looks for every field in the JSON file, which has the label names instead of their number, and
        # of a backbone the layers that are read.
        fields = {name: value for name, value in self.fields.items() if name not in ("num_labels", "backbone_config")}
        self.config_tester = ConfigTester(
            self,
            config_class=config_class,
            has_text_modality=False,
            common_properties=self.common_properties,
            **fields,
        )
        if "eager_matches_sdpa" in self.id():
            self._ignore_attention_window(config_class)

    def make_tester(self) -> SemanticSegmentationModelTester:
        config_class = self.model_class.config_class
        assert config_class is not None
        return SemanticSegmentationModelTester(config_class, self.fields, self.num_tokens, self.batch_size)

    def _ignore_attention_window(self, config_class: type[PreTrainedConfig]) -> None:
        # Where a configuration has a field `sliding_window`, the suite takes it for the attention span of a language
        # model and sets it to 2 tokens. Ours are windows over the picture, and 2 is not a valid value of the field.
        set_field = config_class.__setattr__

        def set_other_fields(config: PreTrainedConfig, name: str, value: Any) -> None:
            if (name, value) != ("sliding_window", 2):
                set_field(config, name, value)

        patcher = patch.object(config_class, "__setattr__", set_other_fields)
        patcher.start()
        self.addCleanup(patcher.stop)

    def test_config(self) -> None:
        self.config_tester.run_common_tests()

    def test_model_gives_scores_of_the_input_size(self) -> None:
        config, pixel_values, labels = self.model_tester.prepare_config_and_inputs()
        model = self.model_class(config).eval()
        with torch.no_grad():
            outputs = model(pixel_values, labels=labels)
        self.assertEqual(tuple(outputs.logits.shape), (self.batch_size, config.num_labels, *pixel_values.shape[-2:]))
        self.assertEqual(outputs.loss.shape, torch.Size([]))
        self.assertGreater(outputs.loss.item(), 0.0)
