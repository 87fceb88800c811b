"""A transformers backbone as an encoder: which maps, which norm, what padding, and what is refused."""

import copy

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import (
    AutoBackbone,
    BeitConfig,
    BertConfig,
    Dinov2Config,
    PreTrainedConfig,
    ResNetConfig,
    SwinConfig,
    TimmBackboneConfig,
)

from segvit_hf import SegmenterConfig, SegVitConfig
from segvit_hf.encoders.backbone import BackboneEncoder
from segvit_hf.layers.resize import pad_around
from tests.models.backbones import SMALL_BACKBONES

TRANSFORMERS_BACKBONES = [name for name in SMALL_BACKBONES if name != "timm"]


def encoder_of(name: str, layers: list[int], **fields: object) -> BackboneEncoder:
    config = SegVitConfig(
        backbone_config=SMALL_BACKBONES[name],
        encoder_out_indices=layers,
        num_decoder_stages=len(layers),
        **fields,  # type: ignore[arg-type]
    )
    return BackboneEncoder(config).eval()


@pytest.mark.parametrize("name", TRANSFORMERS_BACKBONES)
def test_maps_are_the_patches_of_the_chosen_layers(name: str) -> None:
    encoder = encoder_of(name, [1, 3])
    size = encoder.config.patch_size
    pixel_values = torch.randn(2, 3, 3 * size, 5 * size)
    with torch.no_grad():
        output = encoder(pixel_values, output_hidden_states=True)
    norm = (
        getattr(encoder.backbone, "layernorm", None) or getattr(encoder.backbone, "norm", None) or torch.nn.Identity()
    )
    assert len(output.feature_maps) == 2
    for layer, feature_map in zip([1, 3], output.feature_maps, strict=True):
        hidden_state = output.hidden_states[layer + 1]
        if hidden_state.ndim == 3:
            tokens = norm(hidden_state)[:, -15:]
            hidden_state = tokens.transpose(1, 2).unflatten(2, (3, 5))
        torch.testing.assert_close(feature_map, hidden_state)


def test_timm_counts_layers_as_we_do() -> None:
    encoder = encoder_of("timm", [1, 4])
    model = encoder.backbone._backbone.model
    outputs = []
    for block in (model.blocks[1], model.blocks[4]):
        block.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    maps = encoder(torch.randn(1, 3, 32, 48)).feature_maps
    for feature_map, tokens in zip(maps, outputs, strict=True):
        torch.testing.assert_close(feature_map.flatten(2).transpose(1, 2), tokens[:, -6:])


def test_without_the_final_norm_maps_are_the_layers_outputs() -> None:
    encoder = encoder_of("dinov2", [1, 3], backbone_final_norm=False)
    with torch.no_grad():
        output = encoder(torch.randn(1, 3, 28, 42), output_hidden_states=True)
    for layer, feature_map in zip([1, 3], output.feature_maps, strict=True):
        torch.testing.assert_close(feature_map.flatten(2).transpose(1, 2), output.hidden_states[layer + 1][:, 1:])


@pytest.mark.parametrize(("padding", "before"), [("end", (0, 0)), ("center", (2, 6))])
def test_inputs_of_any_size_are_padded(padding: str, before: tuple[int, int]) -> None:
    encoder = encoder_of("dinov2", [3], backbone_padding=padding)
    pixel_values = torch.randn(1, 3, 37, 43)  # 5 and 13 pixels less than 42 and 56
    padded = torch.zeros(1, 3, 42, 56)
    padded[:, :, before[0] : before[0] + 37, before[1] : before[1] + 43] = pixel_values
    with torch.no_grad():
        assert torch.equal(encoder(pixel_values).feature_maps[0], encoder(padded).feature_maps[0])


@pytest.mark.parametrize(
    ("side", "before", "after"), [(512, 3, 3), (640, 2, 2), (513, 2, 3), (14, 0, 0), (15, 6, 7), (1, 6, 7)]
)
def test_the_larger_half_of_the_padding_is_behind(side: int, before: int, after: int) -> None:
    padded = pad_around(torch.ones(1, side, 14), 14)[0, :, 0]
    assert padded.tolist() == [0.0] * before + [1.0] * side + [0.0] * after


def test_the_encoder_takes_its_facts_from_the_backbone() -> None:
    config = SegmenterConfig(backbone_config=SMALL_BACKBONES["dinov2"].to_dict())
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (32, 4, 2)
    assert (config.patch_size, config.image_size, config.decoder_hidden_size) == (14, 56, 32)
    assert config.backbone_final_norm is True
    timm = SegmenterConfig(backbone_config=SMALL_BACKBONES["timm"])
    assert (timm.hidden_size, timm.num_hidden_layers, timm.patch_size) == (64, 6, 16)
    assert timm.backbone_final_norm is None


def test_a_users_configuration_is_left_as_it_is() -> None:
    backbone_config = SMALL_BACKBONES["dinov2"]
    before = copy.deepcopy(backbone_config.to_dict())
    encoder_of("dinov2", [0, 1], backbone_final_norm=False)
    assert backbone_config.to_dict() == before


@pytest.mark.parametrize(
    ("backbone_config", "found"),
    [
        (SwinConfig(), r"SwinConfig.*depths = \[2, 2, 6, 2\]"),
        (ResNetConfig(), "ResNetConfig.*hidden_sizes"),
        (BeitConfig(add_fpn=True, out_indices=[1, 2, 3, 4]), "add_fpn"),
        (TimmBackboneConfig(backbone="test_resnet"), "strides 2, 4, 8, 16, 32"),
    ],
)
def test_a_pyramid_of_strides_is_refused(backbone_config: PreTrainedConfig, found: str) -> None:
    with pytest.raises(ValueError, match=f"expected a backbone whose maps all have one stride.*found .*{found}"):
        SegmenterConfig(backbone_config=backbone_config)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"backbone_config": BertConfig()}, "found BertConfig without patch_size"),
        ({"backbone_config": {"hidden_size": 8}}, "expected a dictionary with model_type, found hidden_size"),
        ({"hidden_size": 48}, "hidden_size: expected 32, as backbone_config says, or none, found 48"),
        ({"drop_path_rate": 0.3}, "drop_path_rate: expected 0.1, .*no effect, found 0.3"),
        ({"use_class_token": False}, "use_class_token: expected True"),
        ({"backbone_config": SMALL_BACKBONES["beit"], "backbone_final_norm": True}, "BeitConfig has no such norm"),
        ({"backbone_config": SMALL_BACKBONES["dinov3"], "backbone_final_norm": False}, "normalizes its last layer"),
        ({"backbone_config": Dinov2Config(patch_size=[14, 16])}, "expected square patches"),
        ({"backbone_config": None, "backbone_padding": "center"}, "backbone_padding: expected a backbone_config"),
        ({"backbone_config": None, "freeze_backbone": True}, "freeze_backbone: expected a backbone_config"),
    ],
)
def test_contradictions_are_refused_by_name(fields: dict, message: str) -> None:
    with pytest.raises((ValueError, StrictDataclassError), match=message):
        SegmenterConfig(**{"backbone_config": SMALL_BACKBONES["dinov2"], **fields})


def test_maps_of_another_stride_are_refused_where_only_the_model_knows() -> None:
    encoder = encoder_of("dinov2", [3])
    encoder.config.patch_size = 7
    with pytest.raises(ValueError, match=r"expected a backbone whose maps all have one stride.*of \(8, 8\) patches"):
        encoder(torch.zeros(1, 3, 56, 56))


@pytest.mark.parametrize("name", ["output_hidden_states", "output_attentions"])
def test_timm_says_that_it_has_maps_alone(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected False"):
        encoder_of("timm", [3])(torch.zeros(1, 3, 32, 32), **{name: True})


def test_a_frozen_backbone_stays_in_eval_mode_and_makes_no_gradients() -> None:
    encoder = encoder_of("dinov3", [3], freeze_backbone=True).train()
    assert not encoder.backbone.training
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert not encoder(torch.randn(1, 3, 32, 32)).feature_maps[0].requires_grad
    pixel_values = torch.randn(1, 3, 32, 32)
    first, second = (encoder(pixel_values).feature_maps[0] for _ in range(2))
    assert torch.equal(first, second)
    trained = encoder_of("dinov3", [3]).train()
    assert trained.backbone.training
    assert trained(pixel_values).feature_maps[0].requires_grad


def test_the_backbone_gives_what_transformers_own_gives() -> None:
    encoder = encoder_of("dinov2", [0, 2])
    backbone_config = copy.deepcopy(SMALL_BACKBONES["dinov2"])
    backbone_config.out_indices = [1, 3]
    backbone = AutoBackbone.from_config(backbone_config).eval()
    backbone.load_state_dict(encoder.backbone.state_dict())
    pixel_values = torch.randn(1, 3, 42, 70)
    for ours, theirs in zip(encoder(pixel_values).feature_maps, backbone(pixel_values).feature_maps, strict=True):
        torch.testing.assert_close(ours, theirs)
