"""Reads the encoder that a released head goes with: the original's file, a folder of transformers, or a Hub id.

Weights of a folder are memory-mapped: however large they are, they take memory once, and only where they are read.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from safetensors import SafetensorError, safe_open

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.reading.safe_loading import load_checkpoint_file
from segvit_hf.regular_files import check_regular_file

_INDEX, _SINGLE = "model.safetensors.index.json", "model.safetensors"
_PATTERNS = ["config.json", _INDEX, "*.safetensors"]


@dataclass(frozen=True)
class EncoderWeights:
    """The weights of an encoder.

    Attributes:
        files: Where they were read from.
        state_dict: Names of the original, or of transformers, to tensors on the CPU.
    """

    files: list[Path]
    state_dict: dict[str, torch.Tensor]


def read_encoder_weights(source: str) -> EncoderWeights:
    """Reads an encoder.

    Args:
        source: A file of `torch.save` or safetensors, a folder with safetensors files as transformers saves them, or
            the id of such a Hub repository.

    Raises:
        ConversionError: There is nothing of that kind, or it cannot be read or fetched.
    """
    path = Path(source)
    if path.is_dir():
        files = _files_of(path)
    elif path.suffix == ".safetensors":
        files = [path]
    elif path.exists() or path.suffix in (".pth", ".pt"):
        return EncoderWeights([path], load_checkpoint_file(path).state_dict)
    else:
        files = _files_of(_fetch(source))
    state_dict: dict[str, torch.Tensor] = {}
    for file in files:
        state_dict.update(_read(file))
    return EncoderWeights(files, state_dict)


def _fetch(repository: str) -> Path:
    try:
        return Path(snapshot_download(repository, allow_patterns=_PATTERNS))
    except Exception as error:  # which HTTP library raises depends on the version of huggingface_hub
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ConversionError(
            f"--encoder {repository}: expected a file, a folder or a repository of the Hub that may be read "
            f"({reason}). Of a gated repository, accept the terms on its page and log in with `hf auth login`."
        ) from error


def _files_of(folder: Path) -> list[Path]:
    """The safetensors files of a saved model, in the order of its index."""
    index = folder / _INDEX
    if not index.is_file():
        if not (folder / _SINGLE).is_file():
            raise ConversionError(f"{folder}: expected {_SINGLE} or {_INDEX}, found neither.")
        return [folder / _SINGLE]
    try:
        names = dict.fromkeys(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        files = [folder / Path(name).name for name in names]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConversionError(f"{index}: expected the index of a saved model ({error}).") from error
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise ConversionError(f"{folder}: expected {len(files)} files, found none called {', '.join(missing[:3])}.")
    return files


def _read(file: Path) -> dict[str, torch.Tensor]:
    try:
        check_regular_file(file)
        with safe_open(file, framework="pt") as archive:
            return {name: archive.get_tensor(name) for name in archive.keys()}  # noqa: SIM118  no mapping
    except (SafetensorError, OSError, ValueError) as error:
        raise ConversionError(f"{file}: expected a safetensors file ({error}).") from error


__all__ = ["EncoderWeights", "read_encoder_weights"]
