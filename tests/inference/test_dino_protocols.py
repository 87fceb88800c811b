"""From photo to label map as DINOv3 evaluates: Pillow's resize, windows, scores."""

import pytest

from segvit_hf import segment
from segvit_hf.conversion import convert_checkpoint
from tests.models.dino_models import dino_cases
from tests.reference import assert_label_map_matches, load_case


@pytest.mark.parametrize(("family", "name"), dino_cases("e2e-*"))
def test_the_label_map_of_a_photo_equals_the_original(family: str, name: str) -> None:
    case = load_case(family, name)
    original = {"model": case.arch, "protocol": case.meta["protocol"]}
    converted = convert_checkpoint(family, case.state_dict(), original)
    protocol = case.meta["protocol"]
    window = {"crop_size": protocol["crop_size"], "stride": protocol["stride"]}
    assert converted.model.config.sliding_window == window
    pixel_values = converted.image_processor(case.photo(), return_tensors="pt").pixel_values
    assert [list(pixel_values.shape[-2:])] == case.meta["measured"]["resized_sizes"]
    assert_label_map_matches(segment(converted.model, converted.image_processor, case.photo()), case)
    if "label_map_bfloat16" in case.tensors:
        found = segment(converted.model, converted.image_processor, case.photo())
        assert_label_map_matches(found, case, "label_map_bfloat16", agreement=0.995)
