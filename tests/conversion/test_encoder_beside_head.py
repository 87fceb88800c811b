"""Heads that were released without their encoder: it comes as a file, a folder or a Hub id, in either naming."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForSemanticSegmentation

import segvit_hf.cli.convert
from segvit_hf.conversion import ConversionError, convert_checkpoint, with_encoder
from segvit_hf.conversion.merging import needs_encoder
from segvit_hf.conversion.reading.encoder_weights import read_encoder_weights
from tests.models.dino_models import dino_cases
from tests.reference import ReferenceCase, load_case

CASES = [
    ("dinov2", "tiny-linear-native"),
    ("dinov2", "tiny-ms-swiglu-pad"),
    ("dinov3", "tiny-linear-four"),
    ("dinov3", "tiny-m2f-vits"),
    ("dinov3", "tiny-m2f-vit7b-rect"),
]
Weights = dict[str, torch.Tensor]


def released_parts(case: ReferenceCase) -> tuple[Weights, Weights]:
    """The head's file and the encoder's, as they were released."""
    prefix = case.meta["checkpoint"]["parts"]["backbone"]["prefix_to_strip"]
    weights = case.state_dict()
    head = {key: tensor for key, tensor in weights.items() if not key.startswith(prefix)}
    encoder = {key.removeprefix(prefix): tensor for key, tensor in weights.items() if key.startswith(prefix)}
    return head, encoder


def names_of_dinov3(encoder: Weights, layers: str) -> Weights:
    """transformers' names of DINOv3's weights."""
    renamed = {}
    for key, tensor in encoder.items():
        name = key.replace("blocks.", f"{layers}.").replace("attn.proj", "attention.o_proj")
        for number in (1, 2):
            name = name.replace(f"ls{number}.gamma", f"layer_scale{number}.lambda1")
        for theirs, ours in (("w1", "gate"), ("fc1", "up"), ("w2", "up"), ("fc2", "down"), ("w3", "down")):
            name = name.replace(f"mlp.{theirs}.", f"mlp.{ours}_proj.")
        name = name.replace("storage_tokens", "embeddings.register_tokens")
        for token in ("cls_token", "mask_token"):
            name = name.replace(token, f"embeddings.{token}")
        name = name.replace("patch_embed.proj", "embeddings.patch_embeddings")
        if "attn.qkv" in name:
            kind = name.rpartition(".")[-1]
            for part, value in zip("qkv", tensor.chunk(3), strict=True):
                if kind == "weight" or (kind, part) in (("bias", "q"), ("bias", "v")):
                    renamed[name.replace("attn.qkv", f"attention.{part}_proj")] = value.clone()
        elif "rope_embed" not in name and "local_cls_norm" not in name:
            renamed[name] = tensor[None] if "mask_token" in name else tensor
    return renamed


def old_names_of_dinov2(encoder: Weights) -> Weights:
    """The names that transformers 4 gave to DINOv2's weights, and that the Hub's files have."""
    renamed = {}
    for key, tensor in encoder.items():
        name = key.replace("blocks.", "encoder.layer.").replace("attn.proj", "attention.output.dense")
        for number in (1, 2):
            name = name.replace(f"ls{number}.gamma", f"layer_scale{number}.lambda1")
        name = name.replace("mlp.w12", "mlp.weights_in").replace("mlp.w3", "mlp.weights_out")
        name = name.replace("patch_embed.proj", "embeddings.patch_embeddings.projection")
        name = name.replace("pos_embed", "embeddings.position_embeddings")
        for token in ("cls_token", "mask_token"):
            name = name.replace(token, f"embeddings.{token}")
        name = f"layernorm{name.removeprefix('norm')}" if name.startswith("norm.") else name
        if "attn.qkv" in name:
            for part, value in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                renamed[name.replace("attn.qkv", f"attention.attention.{part}")] = value.clone()
        else:
            renamed[name] = tensor
    return renamed


def new_names_of_dinov2(encoder: Weights) -> Weights:
    """The names that transformers 5 gives to DINOv2's weights."""
    renamed = {}
    for name, tensor in old_names_of_dinov2(encoder).items():
        for part in ("query", "key", "value"):
            name = name.replace(f"attention.attention.{part}", f"attention.{part[0]}_proj")
        name = name.replace("attention.output.dense", "attention.o_proj")
        name = name.replace("weights_out", "down_proj")
        if "weights_in" in name:
            for part, value in zip(("gate", "up"), tensor.chunk(2), strict=True):
                renamed[name.replace("weights_in", f"{part}_proj")] = value.clone()
        else:
            renamed[name] = tensor
    return renamed


def as_original(encoder: Weights, _family: str) -> Weights:
    return encoder


def as_the_hub_has_it(encoder: Weights, family: str) -> Weights:
    return old_names_of_dinov2(encoder) if family == "dinov2" else names_of_dinov3(encoder, "layer")


def as_transformers_saves_it(encoder: Weights, family: str) -> Weights:
    return new_names_of_dinov2(encoder) if family == "dinov2" else names_of_dinov3(encoder, "model.layer")


@pytest.mark.parametrize("naming", [as_original, as_the_hub_has_it, as_transformers_saves_it])
@pytest.mark.parametrize(("family", "name"), CASES)
def test_head_and_encoder_give_the_model_of_the_whole(
    family: str, name: str, naming: Callable[[Weights, str], Weights]
) -> None:
    case = load_case(family, name)
    head, encoder = released_parts(case)
    merged = with_encoder(family, head, naming(encoder, family))
    converted = convert_checkpoint(family, merged, {"model": case.arch})
    expected = convert_checkpoint(family, case.state_dict(), {"model": case.arch}).model.state_dict()
    found = converted.model.state_dict()
    assert set(found) == set(expected)
    for key, tensor in found.items():
        assert torch.equal(tensor, expected[key]), key


@pytest.mark.parametrize(("family", "name"), dino_cases("tiny-*"))
def test_only_a_head_alone_wants_an_encoder(family: str, name: str) -> None:
    case = load_case(family, name)
    assert not needs_encoder(family, case.state_dict())
    if isinstance(case.meta["checkpoint"]["parts"], dict):
        assert needs_encoder(family, released_parts(case)[0])
    with pytest.raises(ConversionError, match="encoder: expected none"):
        with_encoder(family, case.state_dict(), {})


def saved_head(case: ReferenceCase, folder: Path) -> tuple[Path, Path, Weights]:
    """Files of the head and of the original's configuration, and the encoder's weights."""
    head, encoder = released_parts(case)
    torch.save(head, folder / "head.pth")
    original = {"model": case.arch, "protocol": case.meta.get("protocol")}
    (folder / "original.json").write_text(json.dumps(original))
    return folder / "head.pth", folder / "original.json", encoder


def run(*words: object) -> None:
    parser = argparse.ArgumentParser()
    segvit_hf.cli.convert.add_arguments(parser)
    arguments = parser.parse_args([str(word) for word in words])
    arguments.run(arguments)


@pytest.mark.parametrize("form", ["file", "safetensors", "folder", "sharded folder"])
def test_the_command_takes_an_encoder_in_every_form(form: str, tmp_path: Path) -> None:
    case = load_case("dinov3", "tiny-m2f-vits")
    head, original, encoder = saved_head(case, tmp_path)
    source = write_encoder(form, encoder, tmp_path)
    run("--family", "dinov3", "--config", original, head, "--encoder", source, "--output", tmp_path / "converted")
    model = AutoModelForSemanticSegmentation.from_pretrained(tmp_path / "converted").eval()
    expected = convert_checkpoint("dinov3", case.state_dict(), {"model": case.arch}).model
    with torch.no_grad():
        pixel_values = case.pixel_values()
        torch.testing.assert_close(model(pixel_values).logits, expected(pixel_values).logits)
    report = json.loads((tmp_path / "converted" / "conversion_report.json").read_text())
    assert [file["file"] for file in report["encoder"]] == [file.name for file in read_encoder_weights(source).files]
    assert not any(parameter.requires_grad for parameter in model.encoder.backbone.parameters())


def write_encoder(form: str, encoder: Weights, folder: Path) -> str:
    if form == "file":
        torch.save(encoder, folder / "encoder.pth")
        return str(folder / "encoder.pth")
    if form == "safetensors":
        save_file({key: tensor.clone() for key, tensor in encoder.items()}, folder / "encoder.safetensors")
        return str(folder / "encoder.safetensors")
    saved = names_of_dinov3(encoder, "layer")
    (folder / "encoder").mkdir()
    if form == "folder":
        save_file(saved, folder / "encoder" / "model.safetensors")
        return str(folder / "encoder")
    weight_map = {key: f"model-0000{1 + index % 2}-of-00002.safetensors" for index, key in enumerate(sorted(saved))}
    for file in set(weight_map.values()):
        part = {key: tensor for key, tensor in saved.items() if weight_map[key] == file}
        save_file(part, folder / "encoder" / file)
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "encoder" / "model.safetensors.index.json").write_text(json.dumps(index))
    return str(folder / "encoder")


def test_a_head_alone_is_answered_with_what_to_give(tmp_path: Path) -> None:
    head, original, _ = saved_head(load_case("dinov3", "tiny-m2f-vits"), tmp_path)
    with pytest.raises(ConversionError, match="without its encoder. Name the encoder with --encoder"):
        run("--family", "dinov3", "--config", original, head, "--output", tmp_path / "converted")
    with pytest.raises(ConversionError, match="such as facebook/dinov3-vit7b16-pretrain-lvd1689m"):
        run("dinov3-mask2former-vit-7b-16-ade20k", head, "--output", tmp_path / "converted")
    assert not (tmp_path / "converted").exists()


def test_an_encoder_that_cannot_be_fetched_may_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def without_network(url: str, *_arguments: object) -> None:
        asked.append(url)
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", without_network)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    head, _, _ = saved_head(load_case("dinov2", "tiny-linear-native"), tmp_path)
    with pytest.raises(ConversionError, match=r"no network. Name the encoder with --encoder, such as facebook/dinov2"):
        run("dinov2-linear-vit-s-14-ade20k", head, "--output", tmp_path / "converted")
    assert {url.rpartition("/")[0] for url in asked} == {"https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14"}


def test_an_encoder_that_is_not_wanted_is_refused(tmp_path: Path) -> None:
    case = load_case("dinov3", "tiny-linear-four")
    _, original, _ = saved_head(case, tmp_path)
    torch.save(case.state_dict(), tmp_path / "whole.pth")
    with pytest.raises(ConversionError, match="--encoder: expected none, for .*whole.pth holds its encoder"):
        run(
            *("--family", "dinov3", "--config", original, tmp_path / "whole.pth"),
            *("--encoder", tmp_path / "head.pth", "--output", tmp_path / "converted"),
        )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "expected model.safetensors or model.safetensors.index.json, found neither"),
        ("{}", "expected the index of a saved model"),
        (
            '{"weight_map": {"a": "model-00001-of-00002.safetensors"}}',
            "expected 1 files, found none called model-00001",
        ),
    ],
)
def test_folders_that_hold_no_saved_model_are_refused(content: str | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(ConversionError, match=message):
        read_encoder_weights(str(tmp_path))


def test_damaged_safetensors_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    with pytest.raises(ConversionError, match="expected a safetensors file"):
        read_encoder_weights(str(tmp_path))


def test_the_output_may_not_replace_the_encoder(tmp_path: Path) -> None:
    head, original, encoder = saved_head(load_case("dinov3", "tiny-m2f-vits"), tmp_path)
    source = Path(write_encoder("folder", encoder, tmp_path))
    (source / "config.json").write_text("{}")
    before = (source / "model.safetensors").read_bytes()
    with pytest.raises(ConversionError, match=r"would replace (config.json|model.safetensors), which it reads"):
        run(
            *("--family", "dinov3", "--config", original, head, "--encoder", source),
            *("--output", source, "--overwrite"),
        )
    assert (source / "model.safetensors").read_bytes() == before


# Converts the head argv[2] with the configuration argv[1] and the encoder argv[3] to argv[4], and prints by how many
# KiB the peak of anonymous memory rose: what is mapped from a file is none.
CONVERT = """
import argparse, re, sys, threading, time
import segvit_hf.cli.convert

def anonymous():
    return int(re.search(r"RssAnon:\\s+(\\d+) kB", open("/proc/self/status").read())[1])

def watch():
    while not finished.wait(0.01):
        peaks.append(anonymous())

parser = argparse.ArgumentParser()
segvit_hf.cli.convert.add_arguments(parser)
words = ["--family", "dinov3", "--config", sys.argv[1], sys.argv[2], "--encoder", sys.argv[3], "--output", sys.argv[4]]
arguments = parser.parse_args(words)
peaks, finished = [anonymous()], threading.Event()
watcher = threading.Thread(target=watch)
watcher.start()
try:
    arguments.run(arguments)
finally:
    finished.set()  # or the thread keeps a failing process alive
watcher.join()
print("peak", max(peaks) - peaks[0])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the use of memory from Linux's /proc")
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_an_encoder_is_mapped_and_never_copied(suffix: str, tmp_path: Path) -> None:
    case = load_case("dinov3", "tiny-linear-last-train")
    width = 1024
    sizes = {64: width, 192: 3 * width, 256: 4 * width}
    case.arch["backbone"].update(embed_dim=width, num_heads=width // 32)
    case.arch["decode_head"]["in_channels"] = [width]
    head, encoder = (
        {
            key: torch.ones(()).to(tensor.dtype).expand([sizes.get(side, side) for side in tensor.shape]).contiguous()
            for key, tensor in weights.items()
        }
        for weights in released_parts(case)
    )
    size = sum(tensor.nbytes for tensor in encoder.values())
    assert size > 150e6
    torch.save(head, tmp_path / "head.pth")
    (torch.save if suffix == ".pth" else save_file)(encoder, tmp_path / f"encoder{suffix}")
    (tmp_path / "original.json").write_text(json.dumps({"model": case.arch}))
    arguments = [str(tmp_path / name) for name in ("original.json", "head.pth", f"encoder{suffix}", "converted")]
    result = subprocess.run(
        [sys.executable, "-c", CONVERT, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == 0, result.stderr
    peak = int(result.stdout.split("peak ")[-1]) * 1024
    assert peak < 0.12 * size, f"peak {peak / 1e6:.0f} MB for an encoder of {size / 1e6:.0f} MB"
