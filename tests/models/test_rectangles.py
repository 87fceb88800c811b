"""Rows and columns are never mixed up, whatever the input's shape: a transposed model sees a transposed photo."""

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel

from segvit_hf.encoders.beit import NUM_CLASS_TOKEN_ROWS, BeitAttention
from segvit_hf.encoders.vit import ViTEmbeddings
from segvit_hf.layers.deformable_attention import MultiScaleDeformableAttention
from tests.models.architectures import PLAIN_VITS, SMALL_MODELS

SIZES = [(64, 64), (32, 128), (176, 208), (48, 16)]
# Mask2Former's position embeddings tell rows from columns by their channels: only its encoder is symmetric.
# HLG's lookup of position biases is not symmetric (tests/models/hlg).
WHOLE_MODELS = [name for name in PLAIN_VITS if not name.endswith("mask2former")]


def transposed_rows(rows: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """(rows * columns, channels) of a grid, in the order of the transposed grid."""
    return rows.unflatten(0, grid).transpose(0, 1).flatten(0, 1)


@torch.no_grad()
def transpose_weights(model: PreTrainedModel) -> None:
    """Exchanges rows and columns in everything that knows them."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            module.weight.copy_(module.weight.transpose(2, 3).clone())
        elif isinstance(module, ViTEmbeddings) and module.config.use_position_embeddings:
            patches = module.position_embeddings[0, module.config.num_prefix_tokens :]
            patches.copy_(transposed_rows(patches, module.config.patch_grid).clone())
        elif isinstance(module, BeitAttention):
            distances = module.relative_position_bias_table[:-NUM_CLASS_TOKEN_ROWS]
            grid = (2 * module.stored_grid[0] - 1, 2 * module.stored_grid[1] - 1)
            distances.copy_(transposed_rows(distances, grid).clone())
        elif isinstance(module, MultiScaleDeformableAttention):
            for parameter in (module.sampling_offsets.weight, module.sampling_offsets.bias):
                parameter.copy_(parameter.unflatten(0, (-1, 2)).flip(1).flatten(0, 1).clone())
    if hasattr(getattr(model, "decoder", None), "token_queries"):
        queries = model.decoder.token_queries.weight
        side = round(len(queries) ** 0.5)
        queries.copy_(transposed_rows(queries, (side, side)).clone())


@torch.no_grad()
def pair(name: str) -> tuple[PreTrainedModel, PreTrainedModel]:
    """A model whose weights tell rows from columns everywhere, and the transposed one."""
    # As stored, Segmenter's embeddings of as many patches in another shape are those of the stored shape.
    models = [SMALL_MODELS[name].build(position_embedding_resize_by="grid") for _ in range(2)]
    for model in models:
        torch.manual_seed(1)
        for module in model.modules():
            if isinstance(module, BeitAttention):
                module.relative_position_bias_table.normal_()
            elif isinstance(module, MultiScaleDeformableAttention):
                module.sampling_offsets.weight.normal_(std=0.1)
                module.sampling_offsets.bias.normal_()
            elif type(module).__name__ == "ViTAdapterInjector":
                module.layer_scale.fill_(1.0)
    transpose_weights(models[1])
    return models[0], models[1]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", WHOLE_MODELS)
def test_a_transposed_model_sees_a_transposed_photo(name: str, size: tuple[int, int]) -> None:
    model, transposed = pair(name)
    pixel_values, labels = torch.randn(1, 3, *size), torch.randint(0, 5, (1, *size))
    with torch.no_grad():
        expected = model(pixel_values, labels=labels)
        found = transposed(pixel_values.transpose(2, 3), labels=labels.transpose(1, 2))
        assert name == "segvit-shrunk" or not torch.allclose(
            transposed(pixel_values).logits, expected.logits, rtol=0, atol=1e-4
        )
    torch.testing.assert_close(found.logits.transpose(2, 3), expected.logits, rtol=1e-5, atol=1e-4)
    for part, loss in expected.losses.items():
        torch.testing.assert_close(found.losses[part], loss, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PLAIN_VITS)
def test_a_transposed_encoder_sees_a_transposed_photo(name: str, size: tuple[int, int]) -> None:
    model, transposed = pair(name)
    pixel_values = torch.randn(1, 3, *size)
    with torch.no_grad():
        expected = model.encoder(pixel_values).feature_maps
        found = transposed.encoder(pixel_values.transpose(2, 3)).feature_maps
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.transpose(2, 3), other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", [name for name in SMALL_MODELS if name.startswith("setr")])
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
