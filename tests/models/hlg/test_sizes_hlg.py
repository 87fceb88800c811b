"""Nothing of the encoder is stored per size: one model runs all of them, wherever it was built."""

from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from packaging.version import Version

from segvit_hf import HlgConfig, HlgForImageClassification, HlgForSemanticSegmentation
from tests.models.hlg.test_trainer_hlg import TINY

SIZES = [(64, 64), (97, 33), (32, 160), (224, 64)]
SMALL_DECODER = {"decoder_hidden_size": 32, "auxiliary_hidden_size": 8}


@pytest.mark.parametrize("lookup", ["window_tokens", "leading_tokens"])
@pytest.mark.parametrize("size", SIZES)
def test_a_loaded_model_gives_what_it_gave_before_at_any_size(
    size: tuple[int, int], lookup: str, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = HlgForSemanticSegmentation(HlgConfig(**TINY, **SMALL_DECODER, global_position_bias=lookup)).eval()
    model.save_pretrained(tmp_path)
    loaded = HlgForSemanticSegmentation.from_pretrained(tmp_path)  # built on the meta device
    other = torch.randn(1, 3, 48, 80)
    pixel_values = torch.randn(1, 3, *size)
    with torch.no_grad():
        expected = model(pixel_values).logits
        loaded(other)
        # Weights of a file that is mapped into memory are aligned otherwise, which rounds otherwise.
        torch.testing.assert_close(loaded(pixel_values).logits, expected, rtol=0, atol=1e-5)
    assert {name.rpartition(".")[2] for name, _ in model.named_buffers()} == {
        "running_mean",
        "running_var",
        "num_batches_tracked",
    }


@pytest.mark.skipif(
    Version(torch.__version__) < Version("2.7"), reason="transformers' decorators cannot be captured by torch 2.6"
)
def test_the_whole_graph_is_captured_at_every_size() -> None:
    torch.manual_seed(0)
    model = HlgForImageClassification(HlgConfig(**TINY)).eval()
    compiled = torch.compile(model, backend="eager", fullgraph=True, dynamic=False)
    for size in SIZES[:2]:
        pixel_values = torch.randn(2, 3, *size)
        with torch.no_grad():
            torch.testing.assert_close(compiled(pixel_values).logits, model(pixel_values).logits)
    torch.compiler.reset()


def test_the_layer_count_decides_the_stochastic_depth() -> None:
    config = HlgConfig(**{**TINY, "depths": [2, 1, 2, 1], "drop_path_rate": 0.5})
    layers = [layer for stage in HlgForImageClassification(config).encoder.stages for layer in stage]
    assert [layer.drop_path.drop_prob for layer in layers] == pytest.approx([0.1 * index for index in range(6)])
    dilated = [getattr(layer.attention, "dilated", None) for layer in layers]
    assert dilated == [False, True, False, False, True, None]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"depths": [1, 1, 1]}, "depths: expected 4 numbers"),
        ({"hidden_sizes": [16, 16, 32, 40]}, "hidden_sizes: expected multiples of 16"),
        ({"hidden_sizes": [32, 48, 96, 96]}, "hidden_sizes: expected each to be a multiple"),
        ({"decoder_hidden_size": 40}, "decoder_hidden_size must be a multiple of 32"),
        ({"auxiliary_map_index": 4}, "auxiliary_map_index must lie between 0 and 3"),
        ({"negative_overlap": 0.6}, "negative_overlap <= positive_overlap"),
        ({"anchor_ratios": []}, "anchor_ratios: expected numbers above 0"),
        ({"mlp_ratio": 0}, "mlp_ratio: expected more than 0"),
        ({"depths": [1, 0, 1, 1]}, "depths: expected at least 1"),
        ({"pyramid_hidden_size": 0}, "pyramid_hidden_size: expected at least 1"),
        ({"drop_path_rate": 1.0}, "drop_path_rate: expected a probability"),
        ({"decoder_dropout": -0.1}, "decoder_dropout: expected a probability"),
    ],
)
def test_a_contradiction_names_the_field(fields: dict, named: str) -> None:
    with pytest.raises((StrictDataclassError, ValueError), match=named):
        HlgConfig(**{**TINY, **fields})
