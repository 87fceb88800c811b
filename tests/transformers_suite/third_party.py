"""What transformers' common tests need to be told about models that do not live in transformers."""

import copy
from collections.abc import Iterable

from tests_common.test_modeling_common import ModelTesterMixin
from torch import nn
from transformers.models.auto import modeling_auto


def declare(base: Iterable[str] = (), semantic: Iterable[str] = (), backbone: Iterable[str] = ()) -> None:
    """Tell the suite what kind of model each class name is.

    The suite reads the kind (does it take labels? does it need a loss?) from the tables of class names behind the Auto
    classes; registering a class with an Auto class does not enter it there.
    """
    tables = {
        "MODEL_MAPPING_NAMES": base,
        "MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING_NAMES": semantic,
        "MODEL_FOR_BACKBONE_MAPPING_NAMES": backbone,
    }
    for table_name, class_names in tables.items():
        table = getattr(modeling_auto, table_name)
        for class_name in class_names:
            if class_name not in table.values():
                table[f"declared_{class_name.lower()}"] = class_name


class VisionModelTesterMixin(ModelTesterMixin):
    """transformers' model tests for models of images, of which no token embeddings can be resized."""

    # There is no vocabulary.
    test_resize_embeddings = False
    # The suite skips the test of `_init_weights` for configuration files without the copyright line of a recent year.
    test_can_init_all_missing_weights_before_2023 = True

    def test_model_get_set_embeddings(self) -> None:
        # The suite expects a token embedding that can be replaced; here the input embeddings project patches.
        config, _ = self.model_tester.prepare_config_and_inputs_for_common()
        for model_class in self.all_model_classes:
            model = model_class(copy.deepcopy(config))
            self.assertIsInstance(model.get_input_embeddings(), nn.Module)
            self.assertIsNone(model.get_output_embeddings())
