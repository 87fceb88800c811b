"""ViT-Adapter's encoder through AutoBackbone."""

from pathlib import Path

import pytest
import torch
from transformers import AutoBackbone, AutoConfig

from segvit_hf import VitAdapterBackbone, VitAdapterConfig
from segvit_hf._compat import enable_gradient_checkpointing
from tests.models.architectures import SMALL_MODELS
from tests.models.vit_adapter.reference_models import convert
from tests.reference import assert_close_to_reference, load_case

NAMES = ["vit-adapter-upernet", "vit-adapter-beit-mask2former"]


def test_auto_backbone_gives_four_maps_at_strides_4_to_32() -> None:
    config = SMALL_MODELS["vit-adapter-upernet"].build().config
    backbone = AutoBackbone.from_config(config).eval()
    assert isinstance(backbone, VitAdapterBackbone)
    assert backbone.out_features == ["stage1", "stage2", "stage3", "stage4"]
    with torch.no_grad():
        maps = backbone(torch.randn(2, 3, 96, 64)).feature_maps
    assert [tuple(m.shape) for m in maps] == [(2, 32, 24, 16), (2, 32, 12, 8), (2, 32, 6, 4), (2, 32, 3, 2)]
    assert backbone.channels == [32] * 4


@pytest.mark.parametrize("name", NAMES)
def test_a_segmentation_checkpoint_loads_as_a_backbone(name: str, tmp_path: Path) -> None:
    model = SMALL_MODELS[name].build()
    model.save_pretrained(tmp_path)
    backbone, info = VitAdapterBackbone.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"]
    pixel_values = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = model.encoder(pixel_values).feature_maps
        found = backbone.eval()(pixel_values).feature_maps
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_the_backbone_gives_the_originals_features() -> None:
    case = load_case("vit_adapter", "tiny-upernet-vit")
    model = convert(case).model
    backbone = VitAdapterBackbone(model.config)
    backbone.load_state_dict({k: v for k, v in model.state_dict().items() if k.startswith("encoder.")})
    with torch.no_grad():
        maps = backbone.eval()(case.pixel_values()).feature_maps
    for index, feature_map in enumerate(maps):
        assert_close_to_reference(feature_map, case, f"features.{index}")


def test_stages_are_chosen_by_name_or_index(tmp_path: Path) -> None:
    config = SMALL_MODELS["vit-adapter-upernet"].build().config
    config.out_features = ["stem", "stage3"]
    assert config.out_indices == [0, 3]
    config.save_pretrained(tmp_path)
    assert AutoConfig.from_pretrained(tmp_path).out_features == ["stem", "stage3"]
    with torch.no_grad():
        stem, third = VitAdapterBackbone(config).eval()(torch.randn(1, 3, 64, 32)).feature_maps
    assert (stem.shape[-2:], third.shape[-2:]) == ((16, 8), (4, 2))


def test_the_configuration_defaults_to_the_four_maps_and_follows_transformers_for_none() -> None:
    assert VitAdapterConfig().out_indices == [1, 2, 3, 4]
    assert VitAdapterConfig(out_features=None, out_indices=None).out_features == ["stage4"]


def test_other_libraries_decoders_train_on_it() -> None:
    backbone = AutoBackbone.from_config(SMALL_MODELS["vit-adapter-beit-mask2former"].build().config)
    enable_gradient_checkpointing(backbone)
    backbone.train()
    loss = sum(feature_map.square().mean() for feature_map in backbone(torch.randn(2, 3, 64, 64)).feature_maps)
    loss.backward()
    assert all(parameter.grad is not None for parameter in backbone.parameters())
