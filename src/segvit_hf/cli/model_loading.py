"""The arguments with which commands name a model, and loading it."""

import argparse
from pathlib import Path

import torch
from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation, PreTrainedModel

from segvit_hf.image_processing.processor import SemanticSegmentationProcessing


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
        ValueError, OSError: It cannot be loaded, is none of this package's, or the device does not exist.
    """
    is_path = arguments.model.startswith((".", "/", "~")) or arguments.model.count("/") > 1
    if is_path and not Path(arguments.model).is_dir():
        raise ValueError(f"{arguments.model}: expected the folder of a saved model, found none.")
    device = arguments.device
    if device is None:
        device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"
    try:
        device = torch.device(device)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA raises an AssertionError
        raise ValueError(f"--device {arguments.device}: {str(error).splitlines()[0]}") from error
    model = AutoModelForSemanticSegmentation.from_pretrained(arguments.model, dtype=getattr(torch, arguments.dtype))
    image_processor = AutoImageProcessor.from_pretrained(arguments.model)
    if not isinstance(image_processor, SemanticSegmentationProcessing):
        raise ValueError(
            f"{arguments.model}: expected a model of segvit_hf, found one with the image processor "
            f"{type(image_processor).__name__}."
        )
    return model.to(device).eval(), image_processor


__all__ = ["add_model_arguments", "load_model"]
