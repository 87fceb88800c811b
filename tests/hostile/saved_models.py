"""Saved models that are damaged, incomplete or wrong: what is done to a good folder, and what the refusal must say."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

WEIGHT = "decoder.input_projection.weight"
Weights = dict[str, torch.Tensor]


def change_weights(folder: Path, change: Callable[[Weights], Weights]) -> None:
    file = folder / "model.safetensors"
    save_file(change(load_file(file)), file, metadata={"format": "pt"})


def change_json(file: Path, **values: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def with_value(value: float) -> Callable[[Weights], Weights]:
    def change(weights: Weights) -> Weights:
        weights[WEIGHT].view(-1)[7] = value
        return weights

    return change


def as_dtype(dtype: torch.dtype) -> Callable[[Weights], Weights]:
    return lambda weights: {key: (100 * value).to(dtype) if key == WEIGHT else value for key, value in weights.items()}


WRONG_WEIGHTS = {
    "half missing": (lambda weights: dict(sorted(weights.items())[::2]), "weights are missing: "),
    "one missing": (
        lambda weights: {key: value for key, value in weights.items() if key != WEIGHT},
        f"1 weights are missing: {WEIGHT}",
    ),
    "all missing": (lambda weights: {}, "weights are missing: "),
    "another shape": (
        lambda weights: {**weights, WEIGHT: torch.zeros(3, 5)},
        rf"1 weights have wrong shapes: {WEIGHT} \(expected \(32, 32\), found \(3, 5\)\)",
    ),
    "int8": (as_dtype(torch.int8), rf"found 1 others: {WEIGHT} \(I8\)"),
    "uint8": (as_dtype(torch.uint8), rf"found 1 others: {WEIGHT} \(U8\)"),
    "bool": (as_dtype(torch.bool), rf"found 1 others: {WEIGHT} \(BOOL\)"),
    "float8": (as_dtype(torch.float8_e4m3fn), rf"found 1 others: {WEIGHT} \(F8_E4M3\)"),
    "complex": (as_dtype(torch.complex64), rf"found 1 others: {WEIGHT} \(C64\)"),
    "NaN": (with_value(float("nan")), f"1 weights hold NaN or infinity in float32: {WEIGHT}"),
    "infinity": (with_value(float("-inf")), f"1 weights hold NaN or infinity in float32: {WEIGHT}"),
    "beyond float32": (
        lambda weights: {key: value.double() * 1e300 if key == WEIGHT else value for key, value in weights.items()},
        f"1 weights hold NaN or infinity in float32: {WEIGHT}",
    ),
}


def write_bytes(name: str, content: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_bytes(content((folder / name).read_bytes()))

    return change


def set_values(name: str, **values: Any) -> Callable[[Path], None]:
    return lambda folder: change_json(folder / name, **values)


CONFIG, PROCESSOR, WEIGHTS = "config.json", "preprocessor_config.json", "model.safetensors"
DAMAGES = {
    "weights cut": (write_bytes(WEIGHTS, lambda content: content[: len(content) // 2]), "the model cannot be loaded"),
    "weights junk": (write_bytes(WEIGHTS, lambda _: b"junk" * 500), "the model cannot be loaded"),
    "weights empty": (write_bytes(WEIGHTS, lambda _: b""), "the model cannot be loaded"),
    "weights gone": (lambda folder: (folder / WEIGHTS).unlink(), "the model cannot be loaded: .*no file named"),
    "configuration cut": (write_bytes(CONFIG, lambda content: content[:50]), "cannot be loaded"),
    "configuration is a list": (write_bytes(CONFIG, lambda _: b"[1, 2]"), "cannot be loaded"),
    "configuration gone": (lambda folder: (folder / CONFIG).unlink(), "cannot be loaded"),
    "no model type": (set_values(CONFIG, model_type=None), "cannot be loaded"),
    "unknown model type": (set_values(CONFIG, model_type="unheard_of"), "cannot be loaded"),
    "3 heads": (set_values(CONFIG, num_attention_heads=3), r"hidden_size \(32\) must be a multiple of"),
    "0 heads": (set_values(CONFIG, num_attention_heads=0), "num_attention_heads"),
    "-1 layers": (set_values(CONFIG, num_hidden_layers=-1), "cannot be loaded"),
    "text for a number": (set_values(CONFIG, hidden_size="many"), "hidden_size"),
    "a wide model": (set_values(CONFIG, hidden_size=64), "weights have wrong shapes"),
    "another decoder": (set_values(CONFIG, decoder_type="linear"), "weights are missing"),
    "patch size 0": (set_values(CONFIG, patch_size=0), "cannot be loaded"),
    "processor cut": (write_bytes(PROCESSOR, lambda content: content[:20]), "the image processor cannot be loaded"),
    "processor is a list": (write_bytes(PROCESSOR, lambda _: b"[]"), "the image processor cannot be loaded"),
    "processor gone": (lambda folder: (folder / PROCESSOR).unlink(), "the image processor cannot be loaded"),
    "unknown field": (set_values(PROCESSOR, colour="red"), "unknown arguments.*colour"),
    "size of text": (set_values(PROCESSOR, size={"shortest_edge": "x"}), "the image processor cannot be loaded"),
    "no mean": (set_values(PROCESSOR, image_mean="black"), "image_mean"),
    "a mean of NaN": (set_values(PROCESSOR, image_mean=[float("nan")] * 3), "image_mean"),
}
