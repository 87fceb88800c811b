"""Attention maps of one token: the originals' values, the right rows and columns, and one explicit layer only."""

import pytest
import torch

from segvit_hf import SegmenterConfig, SegmenterForSemanticSegmentation, SegVitConfig, SegVitForSemanticSegmentation
from segvit_hf.conversion import convert_checkpoint
from segvit_hf.inference.attention_maps import attention_maps
from segvit_hf.layers.attention import MultiHeadAttention
from tests.reference import load_case

SMALL = {
    "image_size": 64,
    "patch_size": 16,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "num_labels": 5,
}


@pytest.fixture
def pixel_values() -> torch.Tensor:
    return torch.randn(1, 3, 48, 80)  # 3 rows and 5 columns of patches


def segmenter(**fields: object) -> SegmenterForSemanticSegmentation:
    return SegmenterForSemanticSegmentation(SegmenterConfig(**{**SMALL, **fields})).eval()


@pytest.mark.parametrize(
    ("part", "layer", "patch"),
    [
        ("encoder", 2, (1, 3)),
        ("encoder", 2, None),
        ("decoder", 0, (1, 3)),
        ("decoder", 0, None),
        ("decoder", 1, None),
    ],
)
def test_maps_are_rows_of_the_originals_attention(part: str, layer: int, patch: tuple[int, int] | None) -> None:
    case = load_case("segmenter", "tiny-mask-attention")
    model = convert_checkpoint("segmenter", case.state_dict(), case.meta["variant"]).model
    found = attention_maps(model, case.pixel_values(), part=part, layer=layer, patch=patch).maps
    recorded = case.tensors[f"attention.{part}.{layer}"][0]  # (heads, queries, keys)
    patches = slice(1, 17) if part == "encoder" else slice(0, 16)
    if patch is not None:
        row = patches.start + 4 * patch[1] + patch[0]  # 4x4 patches
        queries = slice(row, row + 1)
    else:
        queries = slice(0, 1) if part == "encoder" else slice(16, 23)
    torch.testing.assert_close(found.flatten(2), recorded[:, queries, patches], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("attn_implementation", ["eager", "sdpa"])
def test_maps_of_a_distilled_rectangle_leave_both_prefix_tokens_out(
    attn_implementation: str, pixel_values: torch.Tensor
) -> None:
    model = segmenter(use_distillation_token=True, attn_implementation=attn_implementation)
    with torch.no_grad():
        output = model(pixel_values, output_attentions=True)
    found = attention_maps(model, pixel_values, part="encoder", layer=1, patch=(4, 2))
    torch.testing.assert_close(found.maps[:, 0].flatten(1), output.attentions[1][0, :, 2 + 14, 2:])
    assert found.maps.shape == (2, 1, 3, 5)
    found = attention_maps(model, pixel_values, part="decoder", layer=1)
    torch.testing.assert_close(found.maps.flatten(2), output.decoder_attentions[1][0, :, 15:, :15])
    torch.testing.assert_close(found.logits, output.logits[0])


def test_only_the_one_layer_computes_its_probabilities(pixel_values: torch.Tensor) -> None:
    model = segmenter(attn_implementation="sdpa")
    explicit = []
    for name, module in model.named_modules():
        if isinstance(module, MultiHeadAttention):
            module.register_forward_hook(
                lambda module, args, output, name=name: explicit.append(name) if output[1] is not None else None
            )
    attention_maps(model, pixel_values, part="encoder", layer=1)
    assert explicit == ["encoder.layers.1.attention"]
    explicit.clear()
    model(pixel_values)
    assert explicit == []  # the request has left no trace


def test_encoders_without_a_class_token_have_maps_of_patches(pixel_values: torch.Tensor) -> None:
    model = SegVitForSemanticSegmentation(
        SegVitConfig(**SMALL, encoder_out_indices=[1], num_decoder_stages=1, decoder_hidden_size=24)
    ).eval()
    assert attention_maps(model, pixel_values, patch=(0, 0)).maps.sum().item() == pytest.approx(2, abs=1e-4)
    with pytest.raises(ValueError, match="no class token in its layers: choose a patch"):
        attention_maps(model, pixel_values)
    with pytest.raises(ValueError, match="only Segmenter's mask transformer has attention maps of a decoder"):
        attention_maps(model, pixel_values, part="decoder", patch=(0, 0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": 2}, "layer 2: the encoder has the layers 0 to 1"),
        ({"layer": -1}, "layer -1"),
        ({"part": "decoder", "layer": 2}, "the decoder has the layers 0 to 1"),
        ({"patch": (5, 0)}, r"patch 5,0: x must be from 0 to 4 and y from 0 to 2"),
        ({"patch": (0, 3)}, r"patch 0,3"),
    ],
)
def test_what_is_not_there_is_named(arguments: dict, message: str, pixel_values: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=message):
        attention_maps(segmenter(), pixel_values, **arguments)


def test_a_linear_decoder_has_no_attention(pixel_values: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="SegmenterLinearDecoder: only Segmenter's mask transformer"):
        attention_maps(segmenter(decoder_type="linear"), pixel_values, part="decoder")
