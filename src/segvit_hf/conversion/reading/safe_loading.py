"""Loads a released `.pth` file without executing anything in it and without touching more of it than its weights.

Everything goes through `torch.load(weights_only=True)`, whose unpickler only builds tensors, plain containers and
what `ALLOWED_GLOBALS` lists. There is no way around it: a file that wants more is refused with the names it wants.
Before that the file is looked at from outside: what is no regular file, unpacks to more than it should, is damaged or
nested without end does not reach torch.
"""

import argparse
import pickle
import tempfile
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.reading.archives import (
    check_checksums,
    copy_member,
    find_packed_checkpoint,
    open_archive,
    open_member,
    read_start,
)
from segvit_hf.conversion.reading.file_format import (
    START_SIZE,
    CheckpointFormat,
    recognize_checkpoint,
    recognize_start,
)
from segvit_hf.conversion.reading.pickle_limits import LEGACY_PICKLES, PickleLimitError, check_pickle
from segvit_hf.conversion.reading.wrappers import unwrap
from segvit_hf.messages import listed

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


@dataclass(frozen=True)
class LoadedCheckpoint:
    """The weights of a checkpoint file.

    Attributes:
        path: The file.
        file_format: How `torch.save` wrote it.
        state_dict: Original names to tensors, on the CPU, without gradients. For zip files they are views of the
            memory-mapped file: only what is read takes memory, and writing to them does not change the file.
        wrapper: Keys that had to be opened to reach the weights, outermost first.
        ignored: Every other key beside the weights, made fit for a message, and what it holds.
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

    Files of torch >= 1.6 are memory-mapped: optimizer states are read once, in pieces, to compare checksums, and take
    no memory. The older format cannot be mapped and is read into memory whole. The one checkpoint of a zip package is
    written to a temporary file for the time of loading.

    Args:
        path: The `.pth` or `.pth.tar` file, or a `.zip` package that holds one.

    Raises:
        ConversionError: If the file is missing, no regular file, empty, truncated, damaged, no torch checkpoint, holds
            no weights, unpacks to more than weights do, or wants anything but tensors, plain containers and
            `ALLOWED_GLOBALS` built.
    """
    path = Path(path)
    file_format = recognize_checkpoint(path, str(path))
    try:
        is_package = file_format is CheckpointFormat.PACKAGE
        content = _load_package(path) if is_package else _load(path, str(path), file_format)
    except MemoryError as error:
        raise ConversionError(f"{path}: the file wants more memory than there is.") from error
    state_dict, wrapper, ignored = unwrap(content, str(path))
    metadata = content.get("meta") if isinstance(content, Mapping) else None
    return LoadedCheckpoint(
        path=path,
        file_format=file_format,
        state_dict=state_dict,
        wrapper=wrapper,
        ignored=ignored,
        metadata=dict(metadata) if isinstance(metadata, Mapping) else {},
    )


def _load_package(path: Path) -> Any:
    # A mapped file lives on without its name; where a system keeps the name, so does the folder.
    with tempfile.TemporaryDirectory(prefix="segvit-hf-", ignore_cleanup_errors=True) as folder:
        unpacked = Path(folder) / "checkpoint"
        with open_archive(path, str(path)) as archive:
            member = find_packed_checkpoint(archive, str(path))
            name = str(path / member)
            recognize_start(read_start(archive, member, START_SIZE), name, archive.getinfo(member).file_size)
            with unpacked.open("wb") as file:
                copy_member(archive, member, file)
        file_format = recognize_checkpoint(unpacked, name)
        if file_format is CheckpointFormat.PACKAGE:
            raise ConversionError(f"{name}: expected a checkpoint in the package, found a package. Unpack it first.")
        return _load(unpacked, name, file_format)


def _load(path: Path, name: str, file_format: CheckpointFormat) -> Any:
    """The content of a file of one of torch's two formats, which messages call `name`."""
    is_zip = file_format is CheckpointFormat.ZIP
    can_be_mapped = _check_zip(path, name) if is_zip else False
    if not is_zip:
        _check_legacy(path, name)
    with warnings.catch_warnings(), torch.serialization.safe_globals(list(ALLOWED_GLOBALS)):
        # What torch says of odd pickles is advice for who wrote them.
        warnings.simplefilter("ignore")
        if is_zip:
            # Reads the names in the pickle's opcodes; builds nothing. One message then lists all of them.
            _refuse(name, _unsafe_globals(path))
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=can_be_mapped)
        except MemoryError:
            raise
        except pickle.UnpicklingError as error:
            # Not torch's own words: they advise to load the file without protection.
            _refuse(name, _names_in(error))
            raise ConversionError(
                f"{name}: refused, nothing was executed. Its pickle holds what no checkpoint of weights needs, or is "
                "damaged."
            ) from error
        except Exception as error:  # whatever else the unpickler's constructors raise for arguments that make no sense
            raise ConversionError(
                f"{name}: the file starts like a torch checkpoint but cannot be read to its end: the download is "
                "probably incomplete or damaged. Download it again."
            ) from error


def _check_zip(path: Path, name: str) -> bool:
    """Checks an archive of torch's; returns whether it can be mapped, which compressed entries cannot."""
    with open_archive(path, name) as archive:
        members = archive.infolist()
        for member in members:
            if member.filename.split("/")[-1] == "data.pkl":
                with open_member(archive, member) as stream:
                    _check_pickle(stream, name)
        check_checksums(archive)
        return all(member.compress_type == zipfile.ZIP_STORED for member in members)


def _check_legacy(path: Path, name: str) -> None:
    with path.open("rb") as stream:
        for _ in range(LEGACY_PICKLES):
            _check_pickle(stream, name)


def _check_pickle(stream: Any, name: str) -> None:
    try:
        check_pickle(stream)
    except PickleLimitError as error:
        raise ConversionError(
            f"{name}: refused, nothing was executed. Its pickle is not that of a whole checkpoint of weights: "
            f"{error}. If it is a download, it is probably incomplete: download it again."
        ) from error


def _unsafe_globals(path: Path) -> list[str]:
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # torch.load meets the same fault
        return []


def _names_in(error: pickle.UnpicklingError) -> list[str]:
    """The name that torch's message gives, as in "Unsupported global: GLOBAL os.system was not an allowed ..."."""
    words = str(error).split()
    return [words[i + 1] for i, word in enumerate(words[:-1]) if word == "GLOBAL"][:1]


def _refuse(name: str, wanted: list[str]) -> None:
    if wanted:
        raise ConversionError(
            f"{name}: refused, nothing was executed. Beside tensors, its pickle wants Python objects that a "
            f"checkpoint of weights does not need: {listed(wanted)}. If you trust the file, open it with the code "
            "that wrote it and save its state dict alone with torch.save."
        )


__all__ = ["ALLOWED_GLOBALS", "LoadedCheckpoint", "load_checkpoint_file"]
