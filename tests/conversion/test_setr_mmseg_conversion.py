"""SETR with the names of mmsegmentation's zoo.

mmsegmentation is not a dependency and left no recorded cases: what its modules compute is written out here with
torch's functions, on the original names, and compared with the converted model.
"""

import argparse
import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from segvit_hf import SetrForSemanticSegmentation
from segvit_hf.cli import convert as command
from segvit_hf.conversion import ConversionError, convert_checkpoint
from segvit_hf.conversion.families import FAMILIES
from tests.conversion.mmseg_setr import mmseg_model, mmseg_weights

Weights = dict[str, torch.Tensor]


def vit(weights: Weights, pixel_values: torch.Tensor, *, with_cls_token: bool) -> list[torch.Tensor]:
    """mmsegmentation's VisionTransformer: the maps of all layers."""
    patches = F.conv2d(
        pixel_values,
        weights["backbone.patch_embed.projection.weight"],
        weights["backbone.patch_embed.projection.bias"],
        stride=16,
    )
    size = patches.shape[-2:]
    tokens = torch.cat(
        [weights["backbone.cls_token"].expand(len(patches), -1, -1), patches.flatten(2).transpose(1, 2)], dim=1
    )
    embeddings = weights["backbone.pos_embed"]
    grid = embeddings[:, 1:].reshape(1, 4, 4, -1).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, size=size, mode="bilinear", align_corners=False)
    tokens = tokens + torch.cat([embeddings[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)
    if not with_cls_token:
        tokens = tokens[:, 1:]
    maps = []
    for index in range(4):
        layer = {
            key.removeprefix(f"backbone.layers.{index}."): value
            for key, value in weights.items()
            if key.startswith(f"backbone.layers.{index}.")
        }
        normed = layer_norm(layer, "ln1", tokens)
        attended, _ = F.multi_head_attention_forward(
            *[normed.transpose(0, 1)] * 3,
            32,
            2,
            layer["attn.attn.in_proj_weight"],
            layer["attn.attn.in_proj_bias"],
            None,
            None,
            False,
            0.0,
            layer["attn.attn.out_proj.weight"],
            layer["attn.attn.out_proj.bias"],
        )
        tokens = tokens + attended.transpose(0, 1)
        hidden = F.gelu(
            F.linear(layer_norm(layer, "ln2", tokens), layer["ffn.layers.0.0.weight"], layer["ffn.layers.0.0.bias"])
        )
        tokens = tokens + F.linear(hidden, layer["ffn.layers.1.weight"], layer["ffn.layers.1.bias"])
        maps.append(tokens[:, int(with_cls_token) :].transpose(1, 2).unflatten(2, size))
    return maps


def layer_norm(weights: Weights, name: str, tokens: torch.Tensor) -> torch.Tensor:
    return F.layer_norm(tokens, tokens.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-6)


def layer_norm_map(weights: Weights, name: str, feature_map: torch.Tensor) -> torch.Tensor:
    normed = layer_norm(weights, name, feature_map.flatten(2).transpose(1, 2))
    return normed.transpose(1, 2).reshape(feature_map.shape)


def conv_module(weights: Weights, name: str, feature_map: torch.Tensor) -> torch.Tensor:
    """mmcv's ConvModule: convolution without bias, batch norm in eval mode, ReLU."""
    kernel = weights[f"{name}.conv.weight"]
    feature_map = F.conv2d(feature_map, kernel, padding=kernel.shape[-1] // 2)
    norm = [weights[f"{name}.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
    return F.relu(F.batch_norm(feature_map, *norm))


def enlarge(feature_map: torch.Tensor, factor: int) -> torch.Tensor:
    return F.interpolate(feature_map, scale_factor=factor, mode="bilinear", align_corners=False)


def classify(weights: Weights, head: str, feature_map: torch.Tensor) -> torch.Tensor:
    return F.conv2d(feature_map, weights[f"{head}.conv_seg.weight"], weights[f"{head}.conv_seg.bias"])


def up_head(weights: Weights, name: str, head: dict[str, Any], feature_map: torch.Tensor) -> torch.Tensor:
    """SETRUPHead."""
    feature_map = layer_norm_map(weights, f"{name}.norm", feature_map)
    for index in range(head["num_convs"]):
        feature_map = enlarge(conv_module(weights, f"{name}.up_convs.{index}.0", feature_map), head["up_scale"])
    return classify(weights, name, feature_map)


def mla_neck(weights: Weights, feature_maps: list[torch.Tensor]) -> list[torch.Tensor]:
    """MLANeck, whose maps come deepest first."""
    projected = [
        conv_module(weights, f"neck.mla.channel_proj.{i}", layer_norm_map(weights, f"neck.norm.{i}", feature_map))
        for i, feature_map in enumerate(feature_maps)
    ]
    sums = [projected[3]]
    for index in (2, 1, 0):
        sums.append(sums[-1] + projected[index])
    return [conv_module(weights, f"neck.mla.feat_extract.{i}", aggregated) for i, aggregated in enumerate(sums)]


def mla_head(weights: Weights, feature_maps: list[torch.Tensor]) -> torch.Tensor:
    """SETRMLAHead."""
    levels = []
    for index, feature_map in enumerate(feature_maps):
        for step in (0, 1):
            feature_map = conv_module(weights, f"decode_head.up_convs.{index}.{step}", feature_map)
        levels.append(enlarge(feature_map, 4))
    return classify(weights, "decode_head", torch.cat(levels, dim=1))


def mmseg_logits(decoder: str, model: dict[str, Any], weights: Weights, pixels: torch.Tensor) -> list[torch.Tensor]:
    """Logits of the decode head and of the auxiliary heads, at the input's size."""
    maps = vit(weights, pixels, with_cls_token=decoder != "mla")
    if decoder == "mla":
        maps = mla_neck(weights, maps)
        logits = [mla_head(weights, maps)]
        logits += [classify(weights, f"auxiliary_head.{i}", maps[i]) for i in range(4)]
    else:
        logits = [up_head(weights, "decode_head", model["decode_head"], maps[3])]
        logits += [
            up_head(weights, f"auxiliary_head.{i}", head, maps[head["in_index"]])
            for i, head in enumerate(model["auxiliary_head"])
        ]
    return [F.interpolate(scores, size=pixels.shape[-2:], mode="bilinear", align_corners=False) for scores in logits]


@pytest.mark.parametrize("size", [(64, 64), (48, 96)])
@pytest.mark.parametrize("decoder", ["naive", "pup", "mla"])
def test_the_converted_model_computes_what_mmsegmentation_does(decoder: str, size: tuple[int, int]) -> None:
    model_dict = mmseg_model(decoder)
    weights = mmseg_weights(model_dict)
    converted = convert_checkpoint("setr", weights, {"model": model_dict})
    pixels = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    labels = torch.randint(0, 5, (2, *size), generator=torch.Generator().manual_seed(2))
    labels[:, :5] = 255
    with torch.no_grad():
        converted.model.config.sliding_window = None
        output = converted.model(pixels, labels=labels)
        logits, *auxiliary = mmseg_logits(decoder, model_dict, weights, pixels)
    tolerance = 1e-4 * logits.abs().max()
    torch.testing.assert_close(output.logits, logits, rtol=0, atol=float(tolerance))
    losses = [
        F.cross_entropy(scores, labels, ignore_index=255, reduction="none").mean() for scores in (logits, *auxiliary)
    ]
    expected = [losses[0], *(0.4 * loss for loss in losses[1:])]
    torch.testing.assert_close(torch.stack(list(output.losses.values())), torch.stack(expected), rtol=1e-4, atol=0)
    assert list(output.losses) == ["decode.loss_seg", *(f"aux_{i}.loss_seg" for i in range(len(auxiliary)))]


def test_dropout_in_front_of_the_classifier_acts_in_training_only() -> None:
    model_dict = mmseg_model("pup")
    for head in (model_dict["decode_head"], *model_dict["auxiliary_head"]):
        head["dropout_ratio"] = 0.5
    model = convert_checkpoint("setr", mmseg_weights(model_dict), {"model": model_dict}).model
    assert model.config.classifier_dropout == 0.5
    pixels = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model(pixels).logits, model(pixels).logits)
        model.train()
        assert not torch.equal(model(pixels).logits, model(pixels).logits)


def test_the_command_converts_a_file_with_the_zoos_names(tmp_path: Path) -> None:
    model = mmseg_model("mla")
    weights = mmseg_weights(model)
    torch.save({"meta": {"CLASSES": tuple("abcde")}, "state_dict": weights}, tmp_path / "latest.pth")
    (tmp_path / "original.json").write_text(json.dumps({"model": model}))
    words = ["--family", "setr", "--config", str(tmp_path / "original.json"), str(tmp_path / "latest.pth")]
    assert run_command([*words, "--naming", "mmseg", "--output", str(tmp_path / "out")]) == 0
    saved = SetrForSemanticSegmentation.from_pretrained(tmp_path / "out").eval()
    pixels = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = mmseg_logits("mla", model, weights, pixels)[0]
        torch.testing.assert_close(saved(pixels).logits, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))
    assert saved.config.id2label[4] == "e"
    with pytest.raises(ConversionError, match="expected weights with the naming 'original', found 'mmseg'"):
        run_command([*words, "--naming", "original", "--output", str(tmp_path / "other")])


def run_command(words: list[str]) -> int:
    """`segvit-hf convert`, without the program around it, so that errors are raised."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    arguments = parser.parse_args(words)
    return arguments.run(arguments)


@pytest.mark.parametrize(
    ("decoder", "path", "value", "message"),
    [
        ("pup", ("decode_head", "align_corners"), True, r"model\.decode_head\.align_corners = True is not supported"),
        ("pup", ("decode_head", "norm_cfg"), {"type": "GN"}, r"norm_cfg\.type = 'GN' is not supported"),
        ("pup", ("decode_head", "in_index"), 1, "expected the deepest of the 4 feature maps"),
        ("pup", ("auxiliary_head", 1, "num_convs"), 3, "all auxiliary heads must be alike"),
        ("mla", ("neck", "act_cfg"), None, r"model\.neck\.act_cfg = None is not supported"),
        ("mla", ("decode_head", "in_index"), [3, 2, 1, 0], r"in_index = \[3, 2, 1, 0\] is not supported"),
        ("mla", ("auxiliary_head", 0, "num_convs"), 1, r"auxiliary_head\[0\]\.num_convs = 1 is not supported"),
        ("naive", ("auxiliary_head",), {}, r"model\.auxiliary_head: expected a list"),
        ("naive", ("decode_head", "new_field"), 1, r"fields that this conversion does not know: 'new_field' = 1"),
    ],
)
def test_settings_that_are_not_supported_are_named(
    decoder: str, path: tuple[Any, ...], value: Any, message: str
) -> None:
    model = copy.deepcopy(mmseg_model(decoder))
    *sections, field = path
    target: Any = model
    for section in sections:
        target = target[section]
    target[field] = value
    with pytest.raises(ConversionError, match=message):
        FAMILIES["setr"].config_from_original({"model": model})
