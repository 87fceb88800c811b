"""A new model's weights are spread as the originals' are, layer by layer."""

import math
import re
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoModelForSemanticSegmentation

from segvit_hf.layers.deformable_attention import MultiScaleDeformableAttention
from tests.models.architectures import SMALL_MODELS, SmallModel

RANGE = 0.02  # of truncated normal distributions, timm's and mmsegmentation's
TOKENS = {"cls_token", "distillation_token", "position_embeddings", "class_embeddings"}
MASK_PROJECTIONS = {"patch_projection", "class_projection"}  # Segmenter's: normal, scaled by the width
FACTORS = {"layer_scale1", "layer_scale2", "layer_scale"}
BEIT_BIASES = {"query_bias", "value_bias", "relative_position_bias_table"}


def expected_spread(module: nn.Module, name: str, model_type: str, in_encoder: bool) -> float | None:
    """The standard deviation of a parameter, `None` for one that is constant."""
    if name in TOKENS:
        return RANGE
    if name in MASK_PROJECTIONS:
        return len(getattr(module, name)) ** -0.5
    if isinstance(module, nn.Embedding):
        return 1.0
    if isinstance(module, nn.Linear) and name == "weight":
        xavier = model_type == "vit_adapter" and not in_encoder
        return math.sqrt(2 / (module.in_features + module.out_features)) if xavier else RANGE
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        return convolution_spread(module, name, model_type, in_encoder)
    assert name in {"weight", "bias"} | FACTORS | BEIT_BIASES, name
    return None


def convolution_spread(
    module: nn.Conv2d | nn.ConvTranspose2d, name: str, model_type: str, in_encoder: bool
) -> float | None:
    area = math.prod(module.kernel_size)
    if model_type == "vit_adapter":  # He, by the outputs
        return math.sqrt(2 * module.groups / (area * module.out_channels)) if name == "weight" else None
    if model_type == "hlg" or (model_type == "setr" and not in_encoder):  # torch's own default, weight and bias alike
        return 1 / math.sqrt(3 * area * module.in_channels / module.groups)
    if model_type == "linear_head" and not in_encoder:
        return 0.01 if name == "weight" else None
    return RANGE if name == "weight" else None


def test_every_weight_has_the_spread_of_the_original(small_model: SmallModel) -> None:
    model = small_model.build()
    deformable = [path for path, module in model.named_modules() if isinstance(module, MultiScaleDeformableAttention)]
    samples: dict[tuple[str, float], list[torch.Tensor]] = {}
    for path, module in model.named_modules():
        if path.rpartition(".")[0] in deformable:
            continue
        for name, parameter in module.named_parameters(recurse=False):
            spread = expected_spread(module, name, small_model.model_type, path.startswith("encoder"))
            if spread is None:
                assert parameter.unique().numel() == 1, f"{path}.{name}"
            else:
                kind = re.sub(r"\d+", "*", f"{path}.{name}")
                samples.setdefault((kind, spread), []).append(parameter.detach().flatten())
    for (kind, spread), values in samples.items():
        found = torch.cat(values)
        allowed = 5 / math.sqrt(2 * len(found))  # five standard errors
        assert found.std(correction=0).item() == pytest.approx(spread, rel=max(allowed, 0.02)), kind
        assert abs(found.mean().item()) < 5 * spread / math.sqrt(len(found)), kind


@pytest.mark.parametrize("name", ["vit-adapter-upernet", "vit-adapter-beit-mask2former"])
def test_deformable_attention_starts_with_directions(name: str) -> None:
    model = SMALL_MODELS[name].build()
    layers = [module for module in model.modules() if isinstance(module, MultiScaleDeformableAttention)]
    assert len(layers) >= 8
    for layer in layers:
        for linear in (layer.sampling_offsets, layer.attention_weights):
            assert not linear.weight.any()
        assert not layer.attention_weights.bias.any()
        offsets = layer.sampling_offsets.bias.view(layer.num_heads, layer.num_levels, layer.num_points, 2)
        for head, direction in enumerate([(1.0, 0.0), (-1.0, 0.0)]):  # two heads look to the right and to the left
            steps = torch.arange(1.0, layer.num_points + 1)[:, None] * torch.tensor(direction)
            torch.testing.assert_close(offsets[head], steps.expand(layer.num_levels, -1, -1), atol=1e-6, rtol=0)
        for linear in (layer.value, layer.proj):
            bound = math.sqrt(6 / (linear.in_features + linear.out_features))
            assert bound * 0.97 < linear.weight.abs().max().item() <= bound
            assert not linear.bias.any()


def test_loading_initializes_nothing_anew(small_model: SmallModel, tmp_path: Path) -> None:
    model = small_model.build()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSemanticSegmentation.from_pretrained(tmp_path)
    for (name, found), expected in zip(loaded.state_dict().items(), model.state_dict().values(), strict=True):
        assert torch.equal(found, expected), name
