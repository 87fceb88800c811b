"""Starting an encoder from ImageNet weights in timm's naming."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer

from segvit_hf import SegVitConfig, SegVitForSemanticSegmentation
from segvit_hf.conversion import ConversionError, load_pretrained_encoder
from segvit_hf.encoders.configuration_vit import ViTEncoderConfig
from segvit_hf.encoders.vit import ViTEncoder
from segvit_hf.layers.position_embeddings import resize_position_embeddings

SHAPE = {"image_size": 64, "patch_size": 16, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}


def timm_model(kind: type[VisionTransformer] = VisionTransformer, **changes: Any) -> VisionTransformer:
    arguments: dict[str, Any] = {
        "img_size": 64, "patch_size": 16, "embed_dim": 32, "depth": 2, "num_heads": 4, "num_classes": 7, **changes
    }  # fmt: skip
    model = kind(**arguments).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model


def encoder(**changes: Any) -> ViTEncoder:
    return ViTEncoder(ViTEncoderConfig(intermediate_size=128, **{**SHAPE, **changes})).eval()


def save(model: torch.nn.Module, path: Path) -> Path:
    weights = model.state_dict()
    if path.suffix == ".safetensors":
        save_file(weights, path)
    elif path.suffix == ".npz":
        np.savez(path, **{key: weight.numpy() for key, weight in weights.items()})
    else:
        torch.save({"model": weights} if path.suffix == ".pth" else weights, path)
    return path


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors", ".npz"])
def test_the_encoder_computes_what_timms_model_does(tmp_path: Path, suffix: str) -> None:
    theirs, ours = timm_model(), encoder(use_final_norm=True)
    report = load_pretrained_encoder(ours, save(theirs, tmp_path / f"vit{suffix}"))
    assert set(report) == set(theirs.state_dict())
    assert report["blocks.1.attn.qkv.weight"] == "layers.1.attention.qkv.weight"
    assert report["head.weight"] == "dropped: the classifier of the pretraining task"
    pixel_values = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(
            ours(pixel_values).last_hidden_state, theirs.forward_features(pixel_values), rtol=1e-4, atol=1e-5
        )


def test_segvit_drops_the_final_norm_and_keeps_its_decoder(tmp_path: Path) -> None:
    theirs = timm_model()
    config = SegVitConfig(
        **SHAPE, intermediate_size=128, encoder_out_indices=[0, 1], num_decoder_stages=2, decoder_hidden_size=12
    )
    model = SegVitForSemanticSegmentation(config)
    queries = model.decoder.class_queries.weight.clone()
    report = load_pretrained_encoder(model, save(theirs, tmp_path / "vit.pth"))
    assert report["norm.weight"] == "dropped: the encoder has no final norm"
    assert report["cls_token"] == "encoder.embeddings.cls_token"
    assert torch.equal(model.encoder.layers[1].mlp.fc2.weight, theirs.blocks[1].mlp.fc2.weight)
    assert torch.equal(model.decoder.class_queries.weight, queries)
    assert model.encoder.layers[1].mlp.fc2.weight.requires_grad


def test_position_embeddings_are_resized_to_the_models_grid(tmp_path: Path) -> None:
    theirs, ours = timm_model(img_size=96), encoder(image_size=[64, 128])
    report = load_pretrained_encoder(ours, save(theirs, tmp_path / "vit.pth"))
    assert report["pos_embed"] == "embeddings.position_embeddings (resized from 6x6 to 4x8 patches)"
    expected = resize_position_embeddings(
        theirs.pos_embed, num_prefix_tokens=1, grid=(6, 6), new_grid=(4, 8), mode="bicubic"
    )
    assert torch.equal(ours.embeddings.position_embeddings, expected)


def test_the_distillation_token_is_kept_or_dropped_with_its_position(tmp_path: Path) -> None:
    theirs = timm_model(VisionTransformerDistilled)
    path = save(theirs, tmp_path / "deit.pth")
    with_token, without_token = encoder(use_distillation_token=True), encoder()
    assert load_pretrained_encoder(with_token, path)["dist_token"] == "embeddings.distillation_token"
    assert torch.equal(with_token.embeddings.position_embeddings, theirs.pos_embed)
    report = load_pretrained_encoder(without_token, path)
    assert report["dist_token"] == "dropped: the encoder has no distillation token"
    assert report["pos_embed"].endswith("(without the distillation token's row)")
    expected = torch.cat([theirs.pos_embed[:, :1], theirs.pos_embed[:, 2:]], dim=1)
    assert torch.equal(without_token.embeddings.position_embeddings, expected)


def test_mmsegmentations_names_are_read_too(tmp_path: Path) -> None:
    theirs, ours = timm_model(), encoder()
    renames = [
        ("norm.", "ln1."), ("patch_embed.proj", "patch_embed.projection"), ("blocks.", "layers."),
        (".norm", ".ln"), ("mlp.fc1", "ffn.layers.0.0"), ("mlp.fc2", "ffn.layers.1"),
        ("attn.qkv.", "attn.attn.in_proj_"), ("attn.proj", "attn.attn.out_proj"),
    ]  # fmt: skip
    weights = {}
    for key, weight in theirs.state_dict().items():
        if key.startswith("norm."):
            key = key.replace("norm.", "ln1.")
        else:
            for old, new in renames[1:]:
                key = key.replace(old, new)
        weights[key] = weight
    torch.save({"state_dict": weights}, tmp_path / "mmseg.pth")
    load_pretrained_encoder(ours, tmp_path / "mmseg.pth")
    for ours_layer, theirs_layer in zip(ours.layers, theirs.blocks, strict=True):
        assert torch.equal(ours_layer.attention.qkv.weight, theirs_layer.attn.qkv.weight)
        assert torch.equal(ours_layer.norm2.bias, theirs_layer.norm2.bias)


def test_googles_npz_files_are_read(tmp_path: Path) -> None:
    theirs, ours = timm_model(), encoder(use_final_norm=True)
    save_as_google_does(theirs, tmp_path / "augreg.npz")
    load_pretrained_encoder(ours, tmp_path / "augreg.npz")
    pixel_values = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(
            ours(pixel_values).last_hidden_state, theirs.forward_features(pixel_values), rtol=1e-4, atol=1e-5
        )


def save_as_google_does(model: VisionTransformer, path: Path) -> None:
    """flax's names and layouts: kernels are transposed, heads are an axis of their own."""
    arrays = {
        "cls": model.cls_token,
        "Transformer/posembed_input/pos_embedding": model.pos_embed,
        "embedding/kernel": model.patch_embed.proj.weight.permute(2, 3, 1, 0),
        "embedding/bias": model.patch_embed.proj.bias,
        "Transformer/encoder_norm/scale": model.norm.weight,
        "Transformer/encoder_norm/bias": model.norm.bias,
    }
    heads, width = 4, 32
    for index, block in enumerate(model.blocks):
        prefix = f"Transformer/encoderblock_{index}/"
        attention = prefix + "MultiHeadDotProductAttention_1/"
        weights, biases = block.attn.qkv.weight.chunk(3), block.attn.qkv.bias.chunk(3)
        for name, weight, bias in zip(("query", "key", "value"), weights, biases, strict=True):
            arrays[f"{attention}{name}/kernel"] = weight.T.reshape(width, heads, -1)
            arrays[f"{attention}{name}/bias"] = bias.reshape(heads, -1)
        arrays[f"{attention}out/kernel"] = block.attn.proj.weight.T.reshape(heads, -1, width)
        arrays[f"{attention}out/bias"] = block.attn.proj.bias
        for number, layer in ((0, block.mlp.fc1), (1, block.mlp.fc2)):
            arrays[f"{prefix}MlpBlock_3/Dense_{number}/kernel"] = layer.weight.T
            arrays[f"{prefix}MlpBlock_3/Dense_{number}/bias"] = layer.bias
        for number, norm in ((0, block.norm1), (2, block.norm2)):
            arrays[f"{prefix}LayerNorm_{number}/scale"] = norm.weight
            arrays[f"{prefix}LayerNorm_{number}/bias"] = norm.bias
    np.savez(path, **{key: value.detach().numpy() for key, value in arrays.items()})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patch_size": 8, "img_size": 32}, r"expected \[32, 3, 16, 16\].*found \[32, 3, 8, 8\]"),
        ({"embed_dim": 64}, "another size of ViT"),
        ({"depth": 3}, r"unexpected \(12\):(.|\n)*blocks\.2\."),
        ({"depth": 1}, r"missing \(12\):(.|\n)*blocks\.1\."),
        ({"init_values": 0.1}, r"unexpected \(4\):(.|\n)*blocks\.0\.ls1\.gamma"),
    ],
)  # fmt: skip
def test_weights_of_another_vit_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConversionError, match=message):
        load_pretrained_encoder(encoder(), save(timm_model(**changes), tmp_path / "vit.pth"))


def test_a_refused_source_leaves_the_encoder_as_it_was(tmp_path: Path) -> None:
    ours = encoder()
    before = {name: weight.clone() for name, weight in ours.state_dict().items()}
    with pytest.raises(ConversionError):
        load_pretrained_encoder(ours, save(timm_model(depth=3), tmp_path / "vit.pth"))
    assert all(torch.equal(weight, before[name]) for name, weight in ours.state_dict().items())


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("missing.pth", r"missing\.pth: no such file"),
        ("folder/name", "no such file"),
        ("vit_base_patch16_38", r"neither a file nor the name of a timm model.*vit_base_patch16_384"),
        # The test run is offline: timm has nowhere to take the weights from.
        ("vit_tiny_patch16_384", "timm could not give the weights of 'vit_tiny_patch16_384'"),
    ],
)
def test_sources_that_cannot_be_read_are_named(source: str, message: str) -> None:
    with pytest.raises(ConversionError, match=message):
        load_pretrained_encoder(encoder(), source)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    for name in ("vit.npz", "vit.safetensors", "vit.pth"):
        (tmp_path / name).write_bytes(b"PK broken")
        with pytest.raises(ConversionError, match=name):
            load_pretrained_encoder(encoder(), tmp_path / name)


def test_models_without_a_plain_vit_are_refused() -> None:
    with pytest.raises(ConversionError, match="Linear: expected a model with a plain ViT"):
        load_pretrained_encoder(torch.nn.Linear(1, 1), "vit.pth")


@pytest.mark.parametrize("key", ["blocks.0.attn.qkv.weight", "pos_embed", "patch_embed.proj.weight"])
@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda weight: (20 * weight).to(torch.int8), "int8"),
        (lambda weight: weight * float("nan"), "NaN"),
        (lambda weight: weight.to(torch.complex64), "complex64"),
    ],
)
def test_weights_that_are_no_finite_numbers_are_refused(key: str, change: Any, found: str) -> None:
    weights = timm_model().state_dict()
    weights[key] = change(weights[key])
    with pytest.raises(ConversionError, match=f"{key}: {found}"):
        load_pretrained_encoder(encoder(image_size=96, use_final_norm=True), weights)
