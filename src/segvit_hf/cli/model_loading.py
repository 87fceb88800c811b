"""The arguments with which commands name a model, and loading it: whole and sound, or with one line of why not."""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import safe_open
from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation, PreTrainedModel

from segvit_hf._compat import cached_file, transformers_logging
from segvit_hf.image_processing.processor import SemanticSegmentationProcessing
from segvit_hf.messages import listed, one_line
from segvit_hf.presets import list_presets

T = TypeVar("T")

# As safetensors and torch call them.
_WEIGHT_DTYPES = {"F16", "BF16", "F32", "F64", "float16", "bfloat16", "float32", "float64"}


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds MODEL, --device and --dtype."""
    parser.add_argument(
        "model", metavar="MODEL", type=_model_name, help="folder of a saved model, or its name on the Hub"
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps, ... (default: the first accelerator, else the CPU)")
    parser.add_argument(
        "--dtype", choices=("float32", "float16", "bfloat16"), default="float32", help="precision (default: float32)"
    )


def _model_name(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("expected a folder or a name on the Hub, found an empty text.")
    return text


def load_model(arguments: argparse.Namespace) -> tuple[PreTrainedModel, SemanticSegmentationProcessing]:
    """The model that `add_model_arguments`' arguments name, in eval mode and on its device, and its image processor.

    Raises:
        ValueError: It cannot be loaded (see `load_saved_model`), or the device does not exist or is too small.
    """
    device = _device(arguments.device)
    model: Any  # transformers' decorated `to` hides its arguments from type checkers
    model, image_processor = load_saved_model(arguments.model, getattr(torch, arguments.dtype))
    try:
        return model.to(device).eval(), image_processor
    except RuntimeError as error:
        raise ValueError(f"--device {device}: the model does not fit: {one_line(error)}") from error


def _device(name: str | None) -> torch.device:
    if name is None:
        accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        return accelerator or torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA raises an AssertionError
        raise ValueError(f"--device {name}: {str(error).splitlines()[0]}") from error
    if device.type == "meta":
        raise ValueError("--device meta: expected a device that computes, such as cpu or cuda.")
    return device


def load_saved_model(
    name: str, dtype: torch.dtype = torch.float32
) -> tuple[PreTrainedModel, SemanticSegmentationProcessing]:
    """A saved model of this package and its image processor.

    Args:
        name: The folder of a saved model, or its name on the Hub.
        dtype: Of the weights in memory.

    Returns:
        The model, on the CPU, and its image processor.

    Raises:
        ValueError: There is no such model, its files are damaged, it is none of this package's; or weights are
            missing, have other shapes than the configuration says, are stored as anything else than 16, 32 or 64 bit
            floating-point numbers, or are not finite. The message names them.
    """
    _check_name(name)
    image_processor = _read(name, "image processor", AutoImageProcessor.from_pretrained)
    if not isinstance(image_processor, SemanticSegmentationProcessing):
        raise ValueError(
            f"{name}: expected a model of segvit_hf, found one with the image processor "
            f"{type(image_processor).__name__}."
        )
    load = partial(
        AutoModelForSemanticSegmentation.from_pretrained,
        dtype=dtype,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # they are refused below, by name
    )
    with _without_transformers_warnings():
        model, loading_info = _read(name, "model", load)
    _check_loading_info(name, loading_info)
    _check_stored_dtypes(name, model)
    _check_finite(name, model)
    return model, image_processor


def _check_name(name: str) -> None:
    path = Path(name)
    if path.is_dir():
        return
    if path.exists():
        raise ValueError(f"{name}: expected the folder of a saved model, found a file (segvit-hf convert makes one).")
    if name in list_presets():
        raise ValueError(
            f"{name}: expected the folder of a saved model, found none. It is a released model: convert it first, "
            "see segvit-hf convert --help."
        )
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ValueError(f"{name}: expected the folder of a saved model, found none.")


def _read(name: str, what: str, load: Callable[[str], T]) -> T:
    try:
        return load(name)
    # Files that anybody may have written: what reads and checks them raises all sorts of errors.
    except Exception as error:
        raise ValueError(f"{name}: the {what} cannot be loaded: {one_line(error)}") from error


@contextmanager
def _without_transformers_warnings() -> Iterator[None]:
    """What its table of wrong weights says is an error here."""
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)


def _check_loading_info(name: str, loading_info: dict[str, Any]) -> None:
    if missing := loading_info["missing_keys"]:
        raise ValueError(f"{name}: {len(missing)} weights are missing: {listed(sorted(missing))}.")
    if mismatched := loading_info["mismatched_keys"]:
        shapes = [f"{key} (expected {tuple(wanted)}, found {tuple(found)})" for key, found, wanted in mismatched]
        raise ValueError(f"{name}: {len(shapes)} weights have wrong shapes: {listed(shapes)}.")
    if unused := loading_info["unexpected_keys"]:
        print(f"{name}: {len(unused)} weights are not used: {listed(sorted(unused))}", file=sys.stderr)


def _check_stored_dtypes(name: str, model: PreTrainedModel) -> None:
    """Refuses stored weights that loading would turn into plain numbers without the scale that they belong to."""
    if getattr(model.config, "quantization_config", None) is not None:
        return
    wanted = {key for key, value in model.state_dict().items() if value.is_floating_point()}
    stored = {key: dtype for file in _weight_files(name) for key, dtype in _stored_dtypes(file).items()}
    wrong = [f"{key} ({dtype})" for key, dtype in stored.items() if key in wanted and dtype not in _WEIGHT_DTYPES]
    if wrong:
        raise ValueError(
            f"{name}: expected weights of 16, 32 or 64 bit floating-point numbers, found {len(wrong)} others: "
            f"{listed(wrong)}."
        )


def _weight_files(name: str) -> list[Path]:
    folder = Path(name)
    if not folder.is_dir():
        folder = Path(str(cached_file(name, "config.json"))).parent
    return sorted(folder.glob("model*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))


def _stored_dtypes(file: Path) -> dict[str, str]:
    if file.suffix == ".safetensors":
        with safe_open(file, "pt") as weights:
            return {key: weights.get_slice(key).get_dtype() for key in weights.keys()}  # noqa: SIM118 - no mapping
    stored = torch.load(file, map_location="meta", weights_only=True)
    return {key: _dtype_name(value.dtype) for key, value in stored.items()}


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _check_finite(name: str, model: PreTrainedModel) -> None:
    wrong = [
        key
        for key, value in model.state_dict().items()
        if value.is_floating_point() and not bool(value.isfinite().all())
    ]
    if wrong:
        raise ValueError(
            f"{name}: {len(wrong)} weights hold NaN or infinity in {_dtype_name(model.dtype)}: {listed(wrong)}."
        )


__all__ = ["add_model_arguments", "load_model", "load_saved_model"]
