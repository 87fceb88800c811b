"""Loads a released `.pth` file without executing anything in it and without touching more of it than its weights.

Everything goes through `torch.load(weights_only=True)`, whose unpickler only builds tensors, plain containers and
what `ALLOWED_GLOBALS` lists. There is no way around it: a file that wants more is refused with the names it wants.
"""

import argparse
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.reading.archives import read_packed_checkpoint
from segvit_hf.conversion.reading.file_format import CheckpointFormat, recognize_checkpoint, recognize_packed

# numpy moved the module whose functions old pickles name.
try:
    from numpy._core import multiarray
except ImportError:  # numpy < 2
    from numpy.core import multiarray  # type: ignore[no-redef]

# What training code writes next to the tensors, as (object, name in the pickle). Each entry only holds data:
# building it calls no code that the file chooses.
ALLOWED_GLOBALS: tuple[Any, ...] = (
    # mmcv's `meta` and hooks store scores as numpy scalars (`best_score`, `mIoU`).
    (multiarray.scalar, "numpy.core.multiarray.scalar"),
    (multiarray.scalar, "numpy._core.multiarray.scalar"),
    np.dtype,
    type(np.dtype(np.float64)),
    type(np.dtype(np.float32)),
    type(np.dtype(np.int64)),
    # mmseg stores PALETTE as an array when it drew the colors itself.
    (multiarray._reconstruct, "numpy.core.multiarray._reconstruct"),
    (multiarray._reconstruct, "numpy._core.multiarray._reconstruct"),
    np.ndarray,
    type(np.dtype(np.uint8)),
    # DeiT, MAE and BEiT store their command line.
    argparse.Namespace,
)

# Keys under which training code nests the weights, in the order in which they are tried.
WRAPPER_KEYS = ("state_dict", "model", "module")
# Prefix that torch's DistributedDataParallel adds to every name.
_PARALLEL_PREFIX = "module."


@dataclass(frozen=True)
class LoadedCheckpoint:
    """The weights of a checkpoint file.

    Attributes:
        path: The file.
        file_format: How `torch.save` wrote it.
        state_dict: Original names to tensors, on the CPU, without gradients. For zip files they are views of the
            memory-mapped file: only what is read takes memory, and writing to them does not change the file.
        wrapper: Keys that had to be opened to reach the weights, outermost first.
        ignored: Every other key beside the weights, and what it holds.
        metadata: The `meta` dictionary of mmcv checkpoints (class names, versions); empty when there is none.
    """

    path: Path
    file_format: CheckpointFormat
    state_dict: dict[str, torch.Tensor]
    wrapper: tuple[str, ...] = ()
    ignored: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)


def load_checkpoint_file(path: str | Path) -> LoadedCheckpoint:
    """Reads the weights of a file written by `torch.save`, whatever else the file holds.

    Files of torch >= 1.6 are memory-mapped: optimizer states are never read. The older format cannot be mapped and is
    read into memory whole, and so is the one checkpoint of a zip package.

    Args:
        path: The `.pth` or `.pth.tar` file, or a `.zip` package that holds one.

    Raises:
        ConversionError: If the file is missing, empty, truncated, no torch checkpoint, holds no weights, or wants
            anything but tensors, plain containers and `ALLOWED_GLOBALS` built.
    """
    path = Path(path)
    file_format = recognize_checkpoint(path)
    content = _load(path, file_format)
    state_dict, wrapper, ignored = _unwrap(path, content)
    metadata = content.get("meta") if isinstance(content, Mapping) else None
    return LoadedCheckpoint(
        path=path,
        file_format=file_format,
        state_dict=state_dict,
        wrapper=wrapper,
        ignored=ignored,
        metadata=dict(metadata) if isinstance(metadata, Mapping) else {},
    )


def _load(path: Path, file_format: CheckpointFormat) -> Any:
    source: Any = path
    is_zip = can_be_mapped = file_format is CheckpointFormat.ZIP
    if file_format is CheckpointFormat.PACKAGE:
        member, source = read_packed_checkpoint(path)
        path = path / member  # for error messages
        packed_format = recognize_packed(source.getbuffer()[:512].tobytes())
        if packed_format is None:
            raise ConversionError(f"{path}: expected a checkpoint written by torch.save, found something else.")
        is_zip = packed_format is CheckpointFormat.ZIP
    with torch.serialization.safe_globals(list(ALLOWED_GLOBALS)):
        if is_zip:
            # Reads the names in the pickle's opcodes; builds nothing. One message then lists all of them.
            _refuse(path, _unsafe_globals(source))
        if not isinstance(source, Path):
            source.seek(0)
        try:
            return torch.load(source, map_location="cpu", weights_only=True, mmap=can_be_mapped)
        except pickle.UnpicklingError as error:
            _refuse(path, _names_in(error))
            raise ConversionError(
                f"{path}: refused, nothing was executed. Its pickle holds what no checkpoint of weights needs: {error}"
            ) from error
        except (RuntimeError, EOFError, OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise ConversionError(
                f"{path}: the file starts like a torch checkpoint but cannot be read to its end ({error}): the "
                "download is probably incomplete or damaged. Download it again."
            ) from error


def _unsafe_globals(source: Any) -> list[str]:
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(source))
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError):
        return []  # torch.load meets the same fault and names it


def _names_in(error: pickle.UnpicklingError) -> list[str]:
    """The name that torch's message gives, as in "Unsupported global: GLOBAL os.system was not an allowed ..."."""
    words = str(error).split()
    return [words[i + 1] for i, word in enumerate(words[:-1]) if word == "GLOBAL"][:1]


def _refuse(path: Path, names: list[str]) -> None:
    if names:
        raise ConversionError(
            f"{path}: refused, nothing was executed. Beside tensors, its pickle wants Python objects that a "
            f"checkpoint of weights does not need: {', '.join(names)}. If you trust the file, open it with the code "
            "that wrote it and save its state dict alone with torch.save."
        )


def _unwrap(path: Path, content: Any) -> tuple[dict[str, torch.Tensor], tuple[str, ...], dict[str, str]]:
    wrapper: list[str] = []
    ignored: dict[str, str] = {}
    while isinstance(content, Mapping):
        inner = next((key for key in WRAPPER_KEYS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            break
        where = ".".join([*wrapper, ""])
        ignored.update({f"{where}{key}": _summary(value) for key, value in content.items() if key != inner})
        wrapper.append(inner)
        content = content[inner]
    if not isinstance(content, Mapping):
        raise ConversionError(f"{path}: expected a dictionary of weights, found {_summary(content)}.")
    state_dict = {key: value.detach() for key, value in content.items() if isinstance(value, torch.Tensor)}
    where = ".".join([*wrapper, ""])
    ignored.update({f"{where}{key}": _summary(value) for key, value in content.items() if key not in state_dict})
    if not state_dict:
        found = ", ".join(map(str, list(content)[:8])) or "nothing"
        raise ConversionError(
            f"{path}: expected weights at the top level or under one of {', '.join(WRAPPER_KEYS)}; found {found}."
        )
    if all(key.startswith(_PARALLEL_PREFIX) for key in state_dict):
        state_dict = {key.removeprefix(_PARALLEL_PREFIX): value for key, value in state_dict.items()}
    return state_dict, tuple(wrapper), ignored


def _summary(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {list(value.shape)}"
    if isinstance(value, (Mapping, list, tuple, set)):
        return f"a {type(value).__name__} of {len(value)} entries"
    return f"a value of type {type(value).__name__}"


__all__ = ["ALLOWED_GLOBALS", "LoadedCheckpoint", "load_checkpoint_file"]
