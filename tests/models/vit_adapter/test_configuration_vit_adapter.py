"""Fields of the configuration that contradict each other are errors that name them."""

from typing import Any

import pytest
from huggingface_hub.errors import StrictDataclassError

from segvit_hf import VitAdapterConfig


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"encoder_out_indices": [2, 5, 8]}, "must end with the last layer"),
        ({"encoder_out_indices": [5, 11]}, "add_vit_features needs 4 interactions"),
        ({"adapter_num_attention_heads": 5}, "adapter_num_attention_heads"),
        ({"auxiliary_map_index": 4}, "auxiliary_map_index"),
        ({"decoder_type": "mask2former", "decoder_hidden_size": 48}, "multiple of 32"),
        ({"decoder_type": "mask2former", "decoder_num_attention_heads": 7}, "decoder_num_attention_heads"),
        ({"decoder_type": "mask2former", "oversample_ratio": 0.5}, "oversample_ratio"),
        ({"use_relative_position_bias": True}, "exactly one prefix token"),
    ],
)
def test_contradicting_fields_are_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, StrictDataclassError), match=message):
        VitAdapterConfig(**fields)


def test_interactions_split_the_layers_evenly() -> None:
    assert VitAdapterConfig(num_hidden_layers=24).encoder_out_indices == [5, 11, 17, 23]
    assert VitAdapterConfig(num_hidden_layers=24).depths == [6, 6, 6, 6]
    assert VitAdapterConfig(num_hidden_layers=8, encoder_out_indices=[0, 3, 4, 7]).depths == [1, 3, 1, 3]
