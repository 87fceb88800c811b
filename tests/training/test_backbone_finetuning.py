"""Fine-tuning a pretrained backbone: frozen, with low-rank adapters, or as a whole."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSemanticSegmentation, Dinov2Config, Dinov2Model

from segvit_hf.training.low_rank_adapters import add_low_rank_adapters, merged_state_dict
from segvit_hf.training.optimization.layer_decay import layer_decay_multipliers
from segvit_hf.training.recipe import LayerDecayRecipe
from tests.models.backbones import SMALL_BACKBONES
from tests.models.test_backbones_under_decoders import build
from tests.training.conftest import Scenes, finetune

RECIPE = """
model:
  type: segvit
  config:
    mask_size: 28
    decoder_hidden_size: 16
    decoder_num_layers: 1
    decoder_num_attention_heads: 2
    encoder_out_indices: [0, 1]
    num_decoder_stages: 2
image_processor:
  size: {shortest_edge: 28, longest_edge: 112}
data: {workers: 0}
augmentation: {size: [112, 28], crop_size: [28, 28]}
batch: {effective_size: 2, per_device_size: 2}
optimizer:
  name: adamw
  learning_rate: 1e-3
  parameter_groups:
    - {match: '^(?!encoder\\.backbone\\.)|\\.lora_', lr_multiplier: 10}
schedule: {max_steps: 2}
logging: {every_steps: 1, tensorboard: false}
"""


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("backbone")
    config = Dinov2Config(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=28)
    Dinov2Model(config).save_pretrained(folder)
    return folder


@pytest.fixture
def flags(scenes: Scenes, backbone: Path, tmp_path: Path) -> list[str]:
    (tmp_path / "backbone.yaml").write_text(RECIPE)
    words = [str(tmp_path / "backbone.yaml") if word == str(scenes.recipe) else word for word in scenes.flags]
    return [*words, "--output", str(tmp_path / "run"), "--backbone", str(backbone)]


def changed(model: Path, backbone: Path) -> set[str]:
    """Names of the backbone's parameters that training has changed."""
    before, after = load_file(backbone / "model.safetensors"), load_file(model / "model.safetensors")
    named = {f"encoder.backbone.{name}": value for name, value in before.items()}
    assert set(named) == {name for name in after if name.startswith("encoder.backbone.")}
    return {name for name, value in named.items() if not torch.equal(after[name], value)}


def test_the_whole_model_is_trained(flags: list[str], backbone: Path, tmp_path: Path) -> None:
    assert finetune(flags) == 0
    names = changed(tmp_path / "run" / "model", backbone)
    assert any("layers.0" in name or "layer.0" in name for name in names)
    assert "encoder.backbone.embeddings.mask_token" not in names
    processor = json.loads((tmp_path / "run/model/preprocessor_config.json").read_text())
    assert processor["image_mean"] == [0.485, 0.456, 0.406]
    assert processor["size"] == {"shortest_edge": 28, "longest_edge": 112}


def test_a_frozen_backbone_stays_and_costs_no_optimizer_state(
    flags: list[str], backbone: Path, tmp_path: Path
) -> None:
    assert finetune([*flags, "--freeze-encoder", "--set", "checkpoint.every_steps=2"]) == 0
    assert changed(tmp_path / "run" / "model", backbone) == set()
    config = json.loads((tmp_path / "run/model/config.json").read_text())
    assert config["freeze_backbone"] is True
    model = AutoModelForSemanticSegmentation.from_pretrained(tmp_path / "run" / "model")
    state = torch.load(tmp_path / "run/checkpoints/step-00000002/optimizer.bin", weights_only=True)
    assert len(state["state"]) == len(list(model.decoder.parameters()))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "optimizer.parameter_groups=[{match: '^encoder\\.backbone', lr_multiplier: 2}]"], "is trained"),
        (["--set", "optimizer.layer_decay={rate: 0.9}"], "layer_decay: expected an encoder whose layers are trained"),
        (["--lora", "2"], "lora_rank: expected freeze_encoder to be false"),
    ],
)
def test_what_a_frozen_encoder_would_ignore_is_refused(
    words: list[str], message: str, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert finetune([*flags, "--freeze-encoder", *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--freeze-encoder"], "freeze_backbone: expected a backbone_config"),
        (["--lora", "2"], "model.lora_rank: expected a model with a backbone"),
        (["--backbone", "/nowhere"], "model.backbone: cannot read /nowhere"),
        (["--lora", "0"], "lora_rank: expected 1 or more, found 0"),
    ],
)
def test_words_about_a_backbone_need_one(
    words: list[str], message: str, scenes: Scenes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert finetune([*scenes.flags, "--output", str(tmp_path / "run"), *words]) == 2
    assert message in capsys.readouterr().err


def test_fine_tuning_goes_on_from_a_saved_model(flags: list[str], tmp_path: Path) -> None:
    assert finetune([*flags, "--freeze-encoder"]) == 0
    at = flags.index("--backbone")
    again = [*flags[:at], "--init", str(tmp_path / "run" / "model"), "--output", str(tmp_path / "again")]
    assert finetune([*again, "--no-freeze-encoder"]) == 0
    first, second = (load_file(tmp_path / run / "model" / "model.safetensors") for run in ("run", "again"))
    assert any(not torch.equal(first[name], second[name]) for name in first if name.startswith("encoder.backbone."))


def test_adapters_are_trained_and_saved_in_the_weights(flags: list[str], backbone: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    assert finetune([*flags, "--lora", "2", "--set", "checkpoint.every_steps=1"]) == 0
    names = changed(tmp_path / "run" / "model", backbone)
    assert names
    assert all(name.endswith(".weight") and "norm" not in name for name in names), names
    state = torch.load(tmp_path / "run/checkpoints/step-00000002/optimizer.bin", weights_only=True)
    model = AutoModelForSemanticSegmentation.from_pretrained(tmp_path / "run" / "model")
    assert len(state["state"]) == len(list(model.decoder.parameters())) + 2 * len(names)


def test_a_resumed_run_with_adapters_is_the_uninterrupted_one(flags: list[str], tmp_path: Path) -> None:
    pytest.importorskip("peft")
    assert finetune([*flags, "--lora", "2"]) == 0
    other = [*flags, "--lora", "2", "--output", str(tmp_path / "resumed")]
    assert finetune([*other, "--stop-at-step", "1"]) == 0
    assert finetune([*other, "--resume"]) == 0
    first, second = (load_file(tmp_path / run / "model" / "model.safetensors") for run in ("run", "resumed"))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("name", SMALL_BACKBONES)
def test_adapters_act_in_every_backbone(name: str) -> None:
    pytest.importorskip("peft")
    model = build("segmenter-linear", name, freeze_backbone=False)
    add_low_rank_adapters(model.encoder.backbone, rank=2)
    adapters = {key: value for key, value in model.named_parameters() if ".lora_" in key}
    assert {key for key, value in model.named_parameters() if value.requires_grad} == {
        *adapters,
        *(key for key, _ in model.named_parameters() if key.startswith("decoder.")),
    }
    with torch.no_grad():
        for parameter in adapters.values():
            parameter.normal_(std=0.3)
    pixel_values = torch.randn(1, 3, 64, 64)
    logits = model(pixel_values).logits
    logits.square().sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in adapters.values())
    plain = build("segmenter-linear", name, freeze_backbone=False)
    plain.load_state_dict(merged_state_dict(model))
    torch.testing.assert_close(plain(pixel_values).logits, logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", SMALL_BACKBONES)
def test_layer_decay_counts_the_layers_of_every_backbone(name: str) -> None:
    model = build("segmenter-linear", name)
    depth = model.config.num_hidden_layers
    decays = layer_decay_multipliers([key for key, _ in model.named_parameters()], LayerDecayRecipe(rate=0.5))
    assert {round(value, 6) for value in decays.values()} == {round(0.5**k, 6) for k in range(depth + 2)}
    for key, value in decays.items():
        is_first = any(word in key for word in ("embeddings.", "patch_embed.", "cls_token", "pos_embed", "reg_token"))
        parts = key.split(".")
        if is_first:
            assert value == 0.5 ** (depth + 1), key
        elif any(part in ("layer", "layers", "blocks") for part in parts):
            index = next(int(part) for part in parts if part.isdigit())
            assert value == 0.5 ** (depth - index), key
        else:
            assert value == 1, key
