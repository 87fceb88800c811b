"""Contradictory configurations are refused by the name of the field, not by a crash in the model."""

import json
from pathlib import Path

import pytest
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, PreTrainedConfig

from segvit_hf import LinearHeadConfig, SegmenterConfig, SegVitConfig, SetrConfig, VitAdapterConfig


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"hidden_size": 100}, "hidden_size"),
        ({"image_size": 500}, "image_size"),
        ({"position_embedding_interpolation": "nearest"}, "position_embedding_interpolation"),
        ({"position_embedding_resize_by": "size"}, "position_embedding_resize_by"),
        ({"encoder_out_indices": [5, 12]}, "encoder_out_indices"),
        ({"encoder_out_indices": [7, 5, 11]}, "encoder_out_indices"),
        ({"shrink_index": 12}, "shrink_index"),
        ({"num_decoder_stages": 4}, "num_decoder_stages"),
        ({"decoder_hidden_size": 100}, "decoder_hidden_size"),
        ({"use_input_projection": False}, "input projection"),
        ({"num_supervised_outputs": 0}, "num_supervised_outputs"),
        ({"patch_size": "16"}, "patch_size"),
    ],
)
def test_a_contradiction_names_the_field(fields: dict, named: str) -> None:
    with pytest.raises((StrictDataclassError, ValueError), match=named):
        SegVitConfig(**fields)


def test_sizes_are_numbers_or_pairs() -> None:
    assert SegVitConfig(image_size=[256, 512]).patch_grid == (16, 32)
    assert SegVitConfig(image_size=256).patch_grid == (16, 16)


CHOICES = [
    (SegVitConfig, "position_embedding_resize_by", "grid", "count"),
    (SegmenterConfig, "decoder_type", "mask_transformer", "linear"),
    (SegmenterConfig, "position_embedding_interpolation", "bicubic", "bilinear"),
    (SetrConfig, "decoder_type", "naive", "mla"),
    (VitAdapterConfig, "decoder_type", "upernet", "mask2former"),
]


@pytest.mark.parametrize(("config_class", "name", "first", "last"), CHOICES)
def test_a_value_that_is_no_choice_is_refused_with_the_choices(
    config_class: type[PreTrainedConfig], name: str, first: str, last: str, tmp_path: Path
) -> None:
    config = config_class()
    config.save_pretrained(tmp_path)
    content = json.loads((tmp_path / "config.json").read_text())
    assert getattr(AutoConfig.from_pretrained(tmp_path), name) == getattr(config, name)
    (tmp_path / "config.json").write_text(json.dumps({**content, name: "other"}))
    message = rf"(?s)'{name}'.*{first}.*{last}.*other"
    with pytest.raises(StrictDataclassError, match=message):
        config_class(**{name: "other"})
    with pytest.raises(StrictDataclassError, match=message):
        AutoConfig.from_pretrained(tmp_path)
    with pytest.raises(StrictDataclassError, match=message):
        setattr(config, name, "other")


@pytest.mark.parametrize(
    ("config_class", "name", "expected", "found"),
    [
        (SegmenterConfig, "shrink_index", "None", 3),
        (SetrConfig, "shrink_index", "None", 3),
        (VitAdapterConfig, "shrink_index", "None", 3),
        (VitAdapterConfig, "drop_prefix_tokens", "False", True),
        (VitAdapterConfig, "use_distillation_token", "False", True),
        (VitAdapterConfig, "use_final_norm", "False", True),
        (LinearHeadConfig, "shrink_index", "None", 3),
    ],
)
def test_what_an_architecture_does_not_have_is_refused(
    config_class: type[PreTrainedConfig], name: str, expected: str, found: object
) -> None:
    with pytest.raises(
        StrictDataclassError, match=rf"{name}: expected {expected}, .*{config_class.__name__}.* {found}"
    ):
        config_class(**{name: found})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"position_embedding_offset": 1.0},
            "position_embedding_offset: expected at least 0 and less than 1, found 1",
        ),
        ({"position_embedding_offset": -0.1}, "position_embedding_offset: expected at least 0 .* found -0.1"),
        ({"use_final_norm": False}, "normalize_feature_maps needs use_final_norm = True, found False"),
    ],
)
def test_dinov2s_fields_of_the_encoder_are_checked(fields: dict, message: str) -> None:
    with pytest.raises((StrictDataclassError, ValueError), match=message):
        LinearHeadConfig(**fields)


CONFIGURATIONS = [LinearHeadConfig, SegVitConfig, SegmenterConfig, SetrConfig, VitAdapterConfig]


@pytest.mark.parametrize("config_class", CONFIGURATIONS)
def test_sizes_counts_and_rates_that_cannot_be_are_refused_by_name(config_class: type[PreTrainedConfig]) -> None:
    wrong = [(name, value) for name in config_class.positive_fields for value in (0, -2)]
    wrong += [(name, value) for name in config_class.probability_fields for value in (-0.1, 1.0, float("nan"))]
    wrong += [("layer_norm_eps", float("nan")), ("layer_norm_eps", float("inf")), ("image_size", [-64, 64])]
    for name, value in wrong:
        with pytest.raises((StrictDataclassError, ValueError), match=f"{name}: expected .*found"):
            config_class(**{name: value})


@pytest.mark.parametrize("config_class", CONFIGURATIONS)
def test_every_rate_is_checked(config_class: type[PreTrainedConfig]) -> None:
    names = {name for name in vars(config_class()) if name.endswith(("_dropout", "_dropout_prob", "drop_path_rate"))}
    assert names == set(config_class.probability_fields)


@pytest.mark.parametrize("config_class", CONFIGURATIONS)
def test_depths_without_end_are_refused_by_name(config_class: type[PreTrainedConfig]) -> None:
    depths = [name for name in vars(config_class()) if name.endswith(("_layers", "_convolutions"))]
    assert "num_hidden_layers" in depths
    for name in depths:
        with pytest.raises((StrictDataclassError, ValueError), match=f"{name}: expected at most 1000, found 1000000"):
            config_class(**{name: 1_000_000})
