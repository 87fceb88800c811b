"""Contradictory configurations are refused by the name of the field, not by a crash in the model."""

import pytest
from huggingface_hub.errors import StrictDataclassError

from segvit_hf import SegVitConfig


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
