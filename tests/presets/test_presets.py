"""Presets by name: what they hold, and the models that they build."""

import pytest
import torch

import segvit_hf
from segvit_hf import create_model, get_preset, list_presets
from segvit_hf.data import LAYOUTS
from segvit_hf.registration import ARCHITECTURES


def test_presets_are_listed_by_pattern() -> None:
    names = list_presets()
    assert len(names) == len(set(names)) == 108
    sizes = ("vit-b", "vit-l", "vit-l-shrunk")
    assert list_presets("segvit-*-ade20k") == [f"segvit-{size}-ade20k" for size in sizes]
    assert list_presets("*no-such-model*") == []


def test_an_unknown_preset_is_answered_with_the_likeliest_names() -> None:
    with pytest.raises(ValueError, match=r"'segvit-b-ade20k': expected .* for example .*segvit-vit-b-ade20k"):
        get_preset("segvit-b-ade20k")


@pytest.mark.parametrize("name", list_presets())
def test_every_preset_says_all_that_others_read(name: str) -> None:
    preset = get_preset(name)
    assert preset.model_type in {architecture.config.model_type for architecture in ARCHITECTURES}
    assert preset.build_config().num_labels == preset.num_labels == len(preset.label_set.classes)
    if preset.task != "classification":
        assert preset.build_image_processor().do_reduce_labels == preset.label_set.reduce_zero_label
    assert preset.layout is None or preset.layout in LAYOUTS
    assert preset.layout is not None or preset.data_set.name in ("mapillary", "imagenet", "coco_detection")
    assert (preset.url is None) == (not preset.released)
    assert "{" not in preset.title
    if preset.same_model_as is not None:
        sibling = get_preset(preset.same_model_as)
        assert (sibling.naming, preset.naming) == ("original", "mmseg")


def test_a_preset_that_was_changed_is_not_what_the_next_one_gets() -> None:
    get_preset("segvit-vit-b-ade20k").config["image_size"][0] = 1
    assert get_preset("segvit-vit-b-ade20k").config["image_size"] == [512, 512]


def test_the_preset_of_mapillary_has_the_classes_of_cityscapes() -> None:
    config = get_preset("vit-adapter-mask2former-beit-large-mapillary").build_config()
    assert config.id2label[0] == "road"
    assert len(config.palette) == 19


def test_a_model_of_a_preset_has_its_classes_or_as_many_as_are_asked_for() -> None:
    model = create_model("vit-adapter-upernet-deit-tiny-ade20k")
    assert isinstance(model, segvit_hf.VitAdapterForSemanticSegmentation)
    assert model.config.id2label[0] == "wall"
    assert create_model("segmenter-seg-t-mask-16-ade20k", num_labels=11).config.num_labels == 11


def test_a_model_starts_from_pretrained_weights_when_asked_to(tmp_path: object) -> None:
    name = "segmenter-seg-t-mask-16-ade20k"
    timm = pytest.importorskip("timm")
    weights = timm.create_model("vit_tiny_patch16_384", num_classes=0).state_dict()
    torch.save(weights, f"{tmp_path}/vit.pth")
    model = create_model(name, num_labels=2, pretrained_encoder=f"{tmp_path}/vit.pth")
    assert torch.equal(model.encoder.layers[3].mlp.fc1.weight, weights["blocks.3.mlp.fc1.weight"])
    random = create_model(name, num_labels=2)
    assert not torch.equal(random.encoder.layers[3].mlp.fc1.weight, weights["blocks.3.mlp.fc1.weight"])
