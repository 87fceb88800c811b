"""What `decoder_type` decides in a SETR configuration, and which values are refused."""

from typing import Any

import pytest
from huggingface_hub.errors import StrictDataclassError

from segvit_hf import SetrConfig, SetrForSemanticSegmentation
from segvit_hf.models.setr.modeling_setr import SetrMlaAuxiliaryHead, SetrUpsamplingAuxiliaryHead
from tests.models.architectures import SMALL_MODELS


@pytest.mark.parametrize(
    ("decoder_type", "num_hidden_layers", "layers", "auxiliary"),
    [
        ("naive", 24, [9, 14, 19, 23], [0, 1, 2]),
        ("pup", 24, [9, 14, 19, 23], [0, 1, 2, 3]),
        ("pup", 12, [4, 7, 9, 11], [0, 1, 2, 3]),
        ("mla", 24, [5, 11, 17, 23], [0, 1, 2, 3]),
        ("mla", 12, [2, 5, 8, 11], [0, 1, 2, 3]),
        ("pup", 2, [0, 1], [0, 1]),
        ("naive", 1, [0], []),
    ],
)
def test_layers_and_auxiliary_heads_default_to_the_originals(
    decoder_type: str, num_hidden_layers: int, layers: list[int], auxiliary: list[int]
) -> None:
    config = SetrConfig(decoder_type=decoder_type, num_hidden_layers=num_hidden_layers)
    assert config.encoder_out_indices == layers
    assert config.auxiliary_in_indices == auxiliary


def test_only_mla_hides_the_class_token_from_its_layers() -> None:
    hidden = {kind: SetrConfig(decoder_type=kind).drop_prefix_tokens for kind in ("naive", "pup", "mla")}
    assert hidden == {"naive": False, "pup": False, "mla": True}


def test_a_saved_configuration_is_read_as_it_was() -> None:
    config = SetrConfig(decoder_type="mla", auxiliary_in_indices=[], mla_deepest_first=True, drop_prefix_tokens=False)
    again = SetrConfig.from_dict(config.to_dict())
    assert again.to_dict() == config.to_dict()
    assert again.auxiliary_in_indices == []
    assert again.drop_prefix_tokens is False


@pytest.mark.parametrize(
    ("name", "kind"), [("setr-pup", SetrUpsamplingAuxiliaryHead), ("setr-mla", SetrMlaAuxiliaryHead)]
)
def test_auxiliary_heads_can_be_left_out(name: str, kind: type) -> None:
    with_heads = SMALL_MODELS[name].build()
    assert {type(head) for head in with_heads.auxiliary_heads} == {kind}
    config = SetrConfig.from_dict({**with_heads.config.to_dict(), "auxiliary_in_indices": []})
    assert not SetrForSemanticSegmentation(config).auxiliary_heads


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"auxiliary_in_indices": [4]}, "auxiliary_in_indices must lie between 0 and 3"),
        ({"encoder_out_indices": [9, 24]}, "encoder_out_indices"),
        ({"decoder_kernel_size": 2}, "decoder_kernel_size must be odd"),
        ({"decoder_upsampling": 0}, "decoder_upsampling: expected at least 1, found 0"),
        ({"auxiliary_num_convolutions": 0}, "auxiliary_num_convolutions: expected at least 1, found 0"),
        ({"sliding_window": {"crop_size": 512}}, "sliding_window: expected None or"),
    ],
)
def test_a_value_that_makes_no_model_is_named(fields: dict[str, Any], named: str) -> None:
    with pytest.raises((StrictDataclassError, ValueError), match=named):
        SetrConfig(**fields)
