"""Rows and columns are never mixed up, and the class token is never taken for a patch, whatever the input's shape."""

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel

from tests.models.architectures import SMALL_MODELS

SETR = [name for name in SMALL_MODELS if name.startswith("setr")]


def transpose_weights(model: PreTrainedModel) -> None:
    """Exchanges rows and columns in everything that knows them: kernels and position embeddings."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data = module.weight.data.transpose(2, 3).contiguous()
    embeddings = model.encoder.embeddings.position_embeddings
    prefix, patches = embeddings.data.split([1, embeddings.shape[1] - 1], dim=1)
    patches = patches.unflatten(1, model.config.patch_grid).transpose(1, 2).flatten(1, 2)
    embeddings.data = torch.cat([prefix, patches], dim=1)


@pytest.mark.parametrize("size", [(64, 64), (32, 128), (176, 208), (48, 16)])
@pytest.mark.parametrize("name", SETR)
def test_a_transposed_model_sees_a_transposed_photo(name: str, size: tuple[int, int]) -> None:
    model, transposed = SMALL_MODELS[name].build(), SMALL_MODELS[name].build()
    transpose_weights(transposed)
    pixel_values = torch.randn(1, 3, *size)
    labels = torch.randint(0, 5, (1, *size))
    with torch.no_grad():
        expected = model(pixel_values, labels=labels)
        found = transposed(pixel_values.transpose(2, 3), labels=labels.transpose(1, 2))
    torch.testing.assert_close(found.logits.transpose(2, 3), expected.logits, rtol=0, atol=1e-5)
    for part, loss in expected.losses.items():
        torch.testing.assert_close(found.losses[part], loss, rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", SETR)
def test_the_class_token_is_no_patch_of_a_grid_whose_count_fits_with_it(name: str) -> None:
    """11 x 13 patches and the class token make 12 x 12, which the original takes for a square."""
    model = SMALL_MODELS[name].build()
    pixel_values = torch.randn(1, 3, 176, 208)
    num_tokens = 143 if model.config.drop_prefix_tokens else 144
    with torch.no_grad():
        encoded = model.encoder(pixel_values)
    assert encoded.last_hidden_state.shape[1] == num_tokens
    assert {tuple(feature_map.shape[-2:]) for feature_map in encoded.feature_maps} == {(11, 13)}
    patches = encoded.last_hidden_state[:, num_tokens - 143 :]
    assert torch.equal(encoded.feature_maps[-1].flatten(2).transpose(1, 2), patches)
