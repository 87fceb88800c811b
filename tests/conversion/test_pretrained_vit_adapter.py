"""ImageNet weights start ViT-Adapter's encoder as the original's loaders do."""

import pytest
import torch
from timm.models.beit import Beit

from segvit_hf import VitAdapterConfig
from segvit_hf.conversion import ConversionError, load_pretrained_encoder
from segvit_hf.conversion.pretrained_encoders.beit_bias_tables import SHARED_TABLE, resize_bias_table
from segvit_hf.encoders.beit import relative_positions
from segvit_hf.encoders.configuration_vit import ViTEncoderConfig
from segvit_hf.encoders.vit import ViTEncoder
from segvit_hf.encoders.vit_adapter import ViTAdapterEncoder
from tests import deterministic_fill
from tests.reference import ReferenceCase, assert_close_to_reference, case_names, load_case

FILE_CASES = [name for name in case_names("vit_adapter", "pretrained-*") if name != "pretrained-beit-table"]


def encoder_for(case: ReferenceCase, image_size: int | None = None) -> ViTAdapterEncoder:
    """Our encoder with the widths of a file; the adapter is as small as it can be."""
    shapes = case.shapes()
    is_beit = "cls_token" in shapes and "pos_embed" not in shapes
    hidden_size = shapes["patch_embed.proj.weight"][0]
    if is_beit:
        num_heads = shapes["blocks.0.attn.relative_position_bias_table"][1]
        stored = 224
    else:
        num_heads = hidden_size // 64
        stored = round((shapes["pos_embed"][1] - 1) ** 0.5) * 16
    config = VitAdapterConfig(
        image_size=image_size or stored,
        hidden_size=hidden_size,
        num_attention_heads=num_heads,
        num_hidden_layers=sum(name.endswith(".norm1.weight") for name in shapes),
        intermediate_size=shapes["blocks.0.mlp.fc1.weight"][0],
        use_class_token=is_beit,
        use_position_embeddings=not is_beit,
        use_relative_position_bias=is_beit,
        layer_scale_init_value=1e-6 if is_beit else 1.0,
        spatial_prior_hidden_size=1,
        adapter_num_attention_heads=1,
        adapter_value_ratio=1 / hidden_size,
        adapter_mlp_ratio=1 / hidden_size,
    )
    return ViTAdapterEncoder(config)


def filled_file(case: ReferenceCase) -> dict[str, torch.Tensor]:
    """The weights that a case lists, filled by name."""
    weights = {}
    for name, (dtype, shape) in case.meta["keys"].items():
        if dtype.startswith("float"):
            weights[name] = torch.from_numpy(deterministic_fill.filled_weight(name, tuple(shape), 21))
        else:
            weights[name] = relative_positions((14, 14), (14, 14), torch.device("cpu")).index
    return weights


def assert_starts_encoder(encoder: ViTAdapterEncoder, weights: dict[str, torch.Tensor], case: ReferenceCase) -> None:
    """Loads a file with `weights`; every one that the case lists must be in the encoder, all others be dropped."""
    report = load_pretrained_encoder(encoder, weights)
    assert set(report) == set(weights)
    dropped = {key for key, line in report.items() if line.startswith("dropped: ")}
    assert {key for key in dropped if "relative_position_index" not in key} == set(weights) - set(case.meta["keys"])
    state_dict = encoder.state_dict()
    taken = {key: line.split(" (")[0] for key, line in report.items() if key not in dropped}
    missing = {name for name in state_dict if name.startswith(("embeddings.", "layers."))} - set(taken.values())
    absent = case.meta.get("model_keys_not_in_file", {})
    assert missing == {f"layers.{key.split('.')[1]}.layer_scale{key[-1]}" for key in absent}
    if encoder.device.type == "meta":
        return
    for key, name in taken.items():
        expected = weights[key][:, 1:] if key == "pos_embed" else weights[key]
        if "relative_position_bias_table" not in key:
            assert torch.equal(state_dict[name], expected), key
    assert all((state_dict[name] == 1).all() for name in missing)  # the initial value of layer scale


def with_unused_weights(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """`weights` and what the files hold beside the encoder, as the notes of the cases say."""
    hidden_size = weights["patch_embed.proj.weight"].shape[0]
    extra = {"head.weight": (5, hidden_size), "head.bias": (5,)}
    if "pos_embed" in weights:
        extra |= {"cls_token": (1, 1, hidden_size), "norm.weight": (hidden_size,), "norm.bias": (hidden_size,)}
    else:
        extra |= {"fc_norm.weight": (hidden_size,), "fc_norm.bias": (hidden_size,)}
    device = weights["patch_embed.proj.weight"].device
    return weights | {name: torch.ones(shape, device=device) for name, shape in extra.items()}


@pytest.mark.parametrize("name", FILE_CASES)
def test_every_file_fits_by_names_and_shapes(name: str) -> None:
    case = load_case("vit_adapter", name)
    with torch.device("meta"):
        encoder = encoder_for(case)
    assert_starts_encoder(encoder, with_unused_weights(case.meta_state_dict()), case)


@pytest.mark.parametrize("name", ["pretrained-deit-tiny", "pretrained-augreg-tiny", "pretrained-beit-table"])
def test_every_weight_of_a_file_starts_the_encoder(name: str) -> None:
    case = load_case("vit_adapter", name)
    assert_starts_encoder(encoder_for(case), with_unused_weights(filled_file(case)), case)


def test_bias_tables_are_resampled_as_by_the_original() -> None:
    case = load_case("vit_adapter", "pretrained-beit-table")
    encoder = encoder_for(case, image_size=case.arch["backbone"]["img_size"])
    report = load_pretrained_encoder(encoder, filled_file(case))
    for name in case.tensors:
        line = report[name]
        assert line.endswith("(resized from 732 to 3484 distances)")
        assert_close_to_reference(encoder.get_parameter(line.split(" (")[0]), case, name)


def test_a_table_that_all_layers_share_is_given_to_each() -> None:
    case = load_case("vit_adapter", "pretrained-beit-table")
    weights = filled_file(case)
    tables = [name for name in weights if name.endswith("relative_position_bias_table")]
    weights[SHARED_TABLE] = weights[tables[0]]
    for name in tables:
        del weights[name]
    encoder = encoder_for(case)
    load_pretrained_encoder(encoder, weights)
    for layer in encoder.layers:
        assert torch.equal(layer.attention.relative_position_bias_table, weights[SHARED_TABLE])


def test_a_table_is_resampled_to_a_grid_that_is_not_square() -> None:
    table = load_case("vit_adapter", "pretrained-beit-table").tensors["blocks.0.attn.relative_position_bias_table"]
    tall = resize_bias_table(table, (40, 30))
    assert tall.shape == (79 * 59 + 3, table.shape[1])
    # The column of no horizontal distance is stretched, the row of no vertical distance stays.
    assert torch.allclose(tall[:-3].view(79, 59, -1)[39], table[:-3].view(59, 59, -1)[29], atol=1e-5)


def test_beit_of_timm_gives_the_same_features() -> None:
    torch.manual_seed(0)
    theirs = Beit(
        img_size=64,
        embed_dim=32,
        depth=2,
        num_heads=2,
        init_values=0.1,
        num_classes=0,
        use_rel_pos_bias=True,
        use_abs_pos_emb=False,
    )
    theirs.eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.normal_(std=0.1)
    config = ViTEncoderConfig(
        image_size=64,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
        layer_scale_init_value=0.1,
        use_position_embeddings=False,
        use_relative_position_bias=True,
    )
    ours = ViTEncoder(config).eval()
    report = load_pretrained_encoder(ours, theirs.state_dict())
    assert {key for key, line in report.items() if line.startswith("dropped: ")} == {"fc_norm.weight", "fc_norm.bias"}
    pixel_values = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        hidden_states = theirs.forward_intermediates(pixel_values, indices=[1], norm=False, intermediates_only=True)
        torch.testing.assert_close(ours(pixel_values).feature_maps[-1], hidden_states[0], rtol=1e-4, atol=1e-5)


def test_weights_of_the_other_kind_of_encoder_are_refused() -> None:
    beit, deit = (load_case("vit_adapter", f"pretrained-{name}") for name in ("beit-table", "deit-tiny"))
    with pytest.raises(ConversionError, match="expected weights of a plain ViT"):
        load_pretrained_encoder(encoder_for(deit), filled_file(beit))
    with pytest.raises(ConversionError, match="expected weights of a BEiT"):
        load_pretrained_encoder(encoder_for(beit), filled_file(deit))
