"""A SegViT with a BEiT encoder starts from BEiT's ImageNet weights, in the names of either code."""

import pytest
import torch

from segvit_hf import SegVitForSemanticSegmentation
from segvit_hf.conversion import convert_checkpoint
from segvit_hf.conversion.pretrained_encoders.loading import load_pretrained_encoder
from tests.reference import load_case


@pytest.mark.parametrize("name", ["tiny-atmv2-beit", "tiny-atmv2-beit-mmseg"])
def test_the_encoder_is_that_of_a_converted_model(name: str) -> None:
    case = load_case("segvit", name)
    converted = convert_checkpoint("segvit", case.state_dict(), {"model": case.arch}).model
    weights = {
        key.removeprefix("backbone."): value for key, value in case.state_dict().items() if key.startswith("backbone.")
    }
    model = SegVitForSemanticSegmentation(converted.config)
    report = load_pretrained_encoder(model, {**weights, "head.weight": torch.ones(3, 3)})
    for key, expected in converted.encoder.state_dict().items():
        assert torch.equal(model.encoder.state_dict()[key], expected), key
    dropped = {key for key, value in report.items() if value.startswith("dropped: ")}
    assert dropped == {"head.weight"} | {key for key in weights if key.endswith("relative_position_index")}


@pytest.mark.parametrize("name", ["tiny-atmv2-beit", "tiny-atmv2-beit-mmseg"])
def test_tables_of_another_grid_are_resized(name: str) -> None:
    case = load_case("segvit", name)
    config = convert_checkpoint("segvit", case.state_dict(), {"model": case.arch}).model.config
    larger = SegVitForSemanticSegmentation(type(config).from_dict({**config.to_dict(), "image_size": [96, 96]}))
    weights = {
        key.removeprefix("backbone."): value for key, value in case.state_dict().items() if key.startswith("backbone.")
    }
    report = load_pretrained_encoder(larger, weights)
    notes = [value for value in report.values() if "resized from 52 to 124 distances" in value]
    assert len(notes) == config.num_hidden_layers
