"""What a recipe leaves out, its preset says; what it says itself wins."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from segvit_hf.data import LabelSet, get_label_set
from segvit_hf.training.recipe import load_recipe
from segvit_hf.training.recipe_parsing import RecipeError
from segvit_hf.training.recipe_presets import with_preset

REST = {
    "batch": {"effective_size": 4, "per_device_size": 2},
    "optimizer": {"name": "adamw", "learning_rate": 1e-4},
    "schedule": {"max_steps": 10},
}


@dataclass
class _Preset:
    """What recipes read of a preset."""

    model_type: str = "segvit"
    config: dict[str, Any] = field(default_factory=lambda: {"hidden_size": 32, "image_size": [64, 64]})
    pretrained_encoder: str | None = "vit_tiny"
    image_processor: dict[str, Any] = field(
        default_factory=lambda: {"size": {"shortest_edge": 64, "longest_edge": 256}, "size_divisor": 32}
    )
    layout: str | None = "ade20k"
    label_set: LabelSet = field(default_factory=lambda: get_label_set("ade20k"))
    scale: list[int] = field(default_factory=lambda: [256, 64])
    crop_size: list[int] = field(default_factory=lambda: [64, 64])


def test_a_preset_gives_what_is_missing() -> None:
    assert with_preset(REST, _Preset()) == {
        "model": {
            "type": "segvit",
            "config": {"hidden_size": 32, "image_size": [64, 64]},
            "encoder_weights": "vit_tiny",
        },
        "image_processor": {"size": {"shortest_edge": 64, "longest_edge": 256}, "size_divisor": 32},
        "augmentation": {"size": [256, 64], "crop_size": [64, 64]},
        "data": {"layout": "ade20k"},
        **REST,
    }


def test_what_the_recipe_says_wins_field_by_field() -> None:
    values = {
        "model": {"config": {"image_size": [96, 96]}, "encoder_weights": None},
        "image_processor": {"size": {"height": 9, "width": 9}},
        "augmentation": {"crop_size": [96, 96], "flip_probability": 0.0},
        "data": {"workers": 2},
    }
    resolved = with_preset(values, _Preset())
    assert resolved["model"] == {
        "type": "segvit",
        "config": {"hidden_size": 32, "image_size": [96, 96]},
        "encoder_weights": None,
    }
    assert resolved["image_processor"] == {"size": {"height": 9, "width": 9}, "size_divisor": 32}
    assert resolved["augmentation"] == {"size": [256, 64], "crop_size": [96, 96], "flip_probability": 0.0}
    assert resolved["data"] == {"layout": "ade20k", "workers": 2}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, {"label_set": "cityscapes"}),
        ({"classes": "file"}, {"classes": "file"}),
        ({"train": {"images": "a"}}, {"train": {"images": "a"}}),
        ({"layout": None}, {"layout": None}),
    ],
)
def test_a_data_set_without_a_layout_gives_its_classes(data: dict[str, Any], expected: dict[str, Any]) -> None:
    preset = _Preset(layout=None, label_set=get_label_set("cityscapes"))
    assert with_preset({"data": data}, preset)["data"] == expected


def test_data_of_ones_own_and_a_start_of_ones_own_take_the_presets_place() -> None:
    values = {"model": {"init": "folder"}, "data": {"train": {"images": "a", "annotations": "b"}, "classes": "file"}}
    resolved = with_preset(values, _Preset())
    assert "encoder_weights" not in resolved["model"]
    assert resolved["data"] == values["data"]


def test_a_preset_that_does_not_fit_the_form_is_said(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("preset: [a]")
    with pytest.raises(RecipeError, match=r"recipe.yaml: preset: expected the name of a preset, found \['a'\]"):
        load_recipe(tmp_path / "recipe.yaml")
