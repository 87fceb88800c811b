"""The true DINOv2 ViT-S/14: transformers' features and those of the original's code, which differ off the 37x37 grid.

The weights (88 MB, transformers' layout) are not part of the repository: name their folder in DINOV2_SMALL.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from transformers import Dinov2Model, PreTrainedModel

from segvit_hf import LinearHeadForSemanticSegmentation, get_preset
from segvit_hf.conversion.dinov2.transformers_names import with_original_names
from segvit_hf.conversion.key_mapping import rename_key
from segvit_hf.conversion.reading.encoder_weights import read_encoder_weights
from segvit_hf.conversion.vit_names import DINOV2_VIT_RULES
from tests.reference import FIXTURES, load_case

FOLDER = os.environ.get("DINOV2_SMALL", "")
pytestmark = pytest.mark.skipif(not Path(FOLDER, "config.json").is_file(), reason="DINOV2_SMALL names no folder")
INPUTS = [(photo, size) for photo in ("astronaut", "coffee") for size in ((518, 518), (224, 308))]
TOLERANCE = 1e-3


def pixel_values(photo: str, size: tuple[int, int]) -> torch.Tensor:
    steps = load_case("dinov2", "pretrained-features-small").meta["preprocess"]
    pixels = np.array(Image.open(FIXTURES / "photos" / f"{photo}.png").convert("RGB"), dtype=np.float32)
    resized = F.interpolate(torch.from_numpy(pixels).permute(2, 0, 1)[None], size=size, mode="bilinear")
    mean, std = (torch.tensor(steps[name])[:, None, None] for name in ("mean", "std"))
    return (resized - mean) / std


def assert_features(found: torch.Tensor, name: str) -> None:
    """Compares patches (batch, num_patches, channels) with a recorded sample of them."""
    case = load_case("dinov2", "pretrained-features-small")
    record, expected = case.meta["outputs"][name], case.tensors[name]
    assert list(found.shape) == record["shape"]
    sampled = found[:, :: record["token_stride"], :: record["channel_stride"]]
    torch.testing.assert_close(sampled, expected, rtol=0, atol=TOLERANCE * record["absmax"])


@pytest.fixture(scope="module")
def of_transformers() -> PreTrainedModel:
    return Dinov2Model.from_pretrained(FOLDER).eval()


@pytest.fixture(scope="module")
def of_ours() -> PreTrainedModel:
    """Our ViT with DINOv2's rule for position embeddings, reading layer 9 (counted from 1) and the last one."""
    config = get_preset("dinov2-linear-vit-s-14-ade20k").build_config(encoder_out_indices=[8, 11])
    encoder = LinearHeadForSemanticSegmentation(config).encoder
    weights = with_original_names(read_encoder_weights(FOLDER).state_dict)
    renamed = {rename_key(key, DINOV2_VIT_RULES): tensor for key, tensor in weights.items() if key != "mask_token"}
    encoder.load_state_dict(renamed)
    return encoder.eval()


@pytest.mark.parametrize(("photo", "size"), INPUTS)
def test_transformers_features_are_the_recorded_ones(
    photo: str, size: tuple[int, int], of_transformers: PreTrainedModel
) -> None:
    with torch.no_grad():
        output = of_transformers(pixel_values(photo, size), output_hidden_states=True)
        ninth = of_transformers.layernorm(output.hidden_states[9])
    assert_features(output.last_hidden_state[:, 1:], f"{photo}.{size[0]}x{size[1]}.last")
    assert_features(ninth[:, 1:], f"{photo}.{size[0]}x{size[1]}.layer9")


@pytest.mark.parametrize(("photo", "size"), INPUTS)
def test_our_vit_gives_the_features_of_the_original_code(
    photo: str, size: tuple[int, int], of_ours: PreTrainedModel
) -> None:
    with torch.no_grad():
        ninth, last = (
            feature_map.flatten(2).transpose(1, 2) for feature_map in of_ours(pixel_values(photo, size)).feature_maps
        )
    assert_features(last, f"{photo}.{size[0]}x{size[1]}.last.original_code")
    if size == (518, 518):  # where transformers' rule is the original's
        assert_features(ninth, f"{photo}.{size[0]}x{size[1]}.layer9")
