"""SETR's encoder starts from timm's ImageNet weights exactly as the original's `load_pretrained` does it."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from segvit_hf import SetrConfig, SetrForSemanticSegmentation
from segvit_hf.conversion import load_pretrained_encoder
from tests.reference import ReferenceCase, assert_close_to_reference, case_names, load_case

RESIZES = [
    (name, output) for name in case_names("setr", "adapt-*") for output in load_case("setr", name).meta["outputs"]
]


def weights_file(case: ReferenceCase, folder: Path, **changes: torch.Tensor) -> Path:
    state_dict: Any = case.state_dict() | changes
    for key in reversed(case.meta["checkpoint"]["wrapper"]):
        state_dict = {key: state_dict}
    torch.save(state_dict, folder / "weights.pth")
    return folder / "weights.pth"


def setr(case: ReferenceCase, grid: int = 24, **fields: Any) -> SetrForSemanticSegmentation:
    arch = case.arch
    config = SetrConfig(
        image_size=grid * arch["patch_size"],
        hidden_size=arch["embed_dim"],
        num_hidden_layers=arch["depth"],
        num_attention_heads=arch["num_heads"],
        intermediate_size=4 * arch["embed_dim"],
        num_labels=arch["num_classes"],
        decoder_hidden_size=8,
        mla_head_hidden_size=8,
        **fields,
    )
    return SetrForSemanticSegmentation(config)


@pytest.mark.parametrize(("name", "output"), RESIZES)
def test_position_embeddings_are_resized_as_in_the_original(name: str, output: str, tmp_path: Path) -> None:
    case = load_case("setr", name)
    found = re.fullmatch(r"pos_embed\.grid(\d+)\.align_corners_(True|False)", output)
    assert found is not None
    model = setr(case, int(found[1]))
    load_pretrained_encoder(model, weights_file(case, tmp_path), align_corners=found[2] == "True")
    assert_close_to_reference(model.encoder.embeddings.position_embeddings, case, output, tolerance=1e-6)


@pytest.mark.parametrize("decoder_type", ["pup", "mla"])
@pytest.mark.parametrize("name", case_names("setr", "adapt-*"))
def test_the_other_weights_are_copied_or_dropped_as_in_the_original(
    name: str, decoder_type: str, tmp_path: Path
) -> None:
    case = load_case("setr", name)
    model = setr(case, decoder_type=decoder_type)
    decoder = {key: value.clone() for key, value in model.state_dict().items() if not key.startswith("encoder.")}
    report = load_pretrained_encoder(model, weights_file(case, tmp_path))
    weights, parameters = case.state_dict(), dict(model.named_parameters())
    dropped = case.meta["dropped_from_file_VIT_MLA" if decoder_type == "mla" else "dropped_from_file"]
    assert sorted(key for key, line in report.items() if line.startswith("dropped: ")) == sorted(dropped)
    for key in case.meta["copied_unchanged"]:
        assert torch.equal(parameters[report[key]], weights[key]), key
    assert set(report) == set(weights)
    # The rest of the model keeps its own initialization, MLA's norms and convolutions included.
    assert all(torch.equal(model.state_dict()[key], value) for key, value in decoder.items())


def test_the_first_convolution_of_one_channel_is_the_sum_over_colors(tmp_path: Path) -> None:
    case = load_case("setr", "adapt-vit")
    model = setr(case, num_channels=1)
    report = load_pretrained_encoder(model, weights_file(case, tmp_path))
    expected = case.state_dict()["patch_embed.proj.weight"].sum(dim=1, keepdim=True)
    assert torch.equal(model.encoder.embeddings.patch_embeddings.weight, expected)
    assert report["patch_embed.proj.weight"].endswith("(summed over red, green and blue)")


def test_the_first_convolution_of_four_channels_starts_at_random(tmp_path: Path) -> None:
    case = load_case("setr", "adapt-vit")
    model = setr(case, num_channels=4)
    embeddings = model.encoder.embeddings
    before = embeddings.patch_embeddings.weight.clone()
    report = load_pretrained_encoder(model, weights_file(case, tmp_path))
    assert torch.equal(embeddings.patch_embeddings.weight, before)
    assert torch.equal(embeddings.patch_embeddings.bias, case.state_dict()["patch_embed.proj.bias"])
    assert report["patch_embed.proj.weight"] == "dropped: the model has 4 channels: it starts at random"


def test_a_first_layer_that_is_linear_becomes_a_convolution(tmp_path: Path) -> None:
    case = load_case("setr", "adapt-vit")
    model = setr(case)
    kernel = case.state_dict()["patch_embed.proj.weight"]
    path = weights_file(case, tmp_path, **{"patch_embed.proj.weight": kernel.flatten(1)})
    assert load_pretrained_encoder(model, path)["patch_embed.proj.weight"].endswith("(as a convolution)")
    assert torch.equal(model.encoder.embeddings.patch_embeddings.weight, kernel)
