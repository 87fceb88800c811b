"""Layer scale starts at the value that the configuration names, also where a checkpoint does not have it."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSemanticSegmentation

from tests.models.architectures import SmallModel


@pytest.mark.parametrize("value", [0.1, 0, 1e-5])
def test_the_encoders_layer_scale_has_its_initial_value(plain_vit: SmallModel, value: float, tmp_path: Path) -> None:
    plain_vit.build(layer_scale_init_value=None).save_pretrained(tmp_path)
    loaded, info = AutoModelForSemanticSegmentation.from_pretrained(
        tmp_path, layer_scale_init_value=value, output_loading_info=True
    )
    assert len(info["missing_keys"]) == 2 * loaded.config.num_hidden_layers
    for model in (plain_vit.build(layer_scale_init_value=value), loaded):
        factors = [factor for layer in model.encoder.layers for factor in (layer.layer_scale1, layer.layer_scale2)]
        assert all(torch.equal(factor, torch.full_like(factor, value)) for factor in factors)
