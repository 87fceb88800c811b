"""`segvit-hf attention`: pictures of what patches, class tokens and class embeddings attend to."""

import argparse
import re
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from transformers import PreTrainedModel

from segvit_hf.cli.model_loading import add_model_arguments, load_model
from segvit_hf.cli.path_arguments import path_argument
from segvit_hf.cli.prediction.inputs import read_photo
from segvit_hf.data.class_names import class_names
from segvit_hf.encoders.configuration_vit import as_pair
from segvit_hf.image_processing.processor import SemanticSegmentationProcessing
from segvit_hf.inference.attention_maps import AttentionMaps, attention_maps
from segvit_hf.visualization.attention_pictures import map_picture, marked_photo, overview
from segvit_hf.visualization.overlay import save_overlay

_DESCRIPTION = """\
Draw attention maps of one layer, one picture per head, and an overview beside the photo.

  segvit-hf attention MODEL photo.jpg --encoder --layer 0 --patch 0,21 --output maps
  segvit-hf attention MODEL photo.jpg --encoder --layer 11 --cls --output maps
  segvit-hf attention MODEL photo.jpg --decoder --layer 0 --cls --classes sky,tree --output maps

--patch is the column and the row of a patch. --cls is the class token of the encoder, or every class embedding of
Segmenter's mask transformer. The photo is resized so that its short side is that of the model, and cut at the right
and at the bottom to whole patches."""

# Pictures in an overview of the decoder's classes.
_MOST_CLASSES_SHOWN = 24


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the arguments of the command."""
    parser.description = _DESCRIPTION
    add_model_arguments(parser)
    parser.add_argument("image", metavar="IMAGE", type=path_argument, help="photo")
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--encoder", dest="part", action="store_const", const="encoder", help="the encoder (default)")
    part.add_argument("--decoder", dest="part", action="store_const", const="decoder", help="the mask transformer")
    parser.add_argument("--layer", type=int, default=0, help="0-based layer (default: 0)")
    query = parser.add_mutually_exclusive_group(required=True)
    query.add_argument("--patch", metavar="X,Y", type=_patch, help="column and row of a patch")
    query.add_argument("--cls", action="store_true", help="the class token, or the decoder's class embeddings")
    parser.add_argument("--classes", metavar="NAME,...", help="names or ids of the classes to draw (default: all)")
    parser.add_argument("--size", metavar="PIXELS", type=int, help="short side of the photo (default: the model's)")
    parser.add_argument("--output", metavar="DIR", type=path_argument, required=True, help="folder to write")
    parser.set_defaults(run=run, part="encoder")


def run(arguments: argparse.Namespace) -> int:
    """Runs the subcommand.

    Returns:
        The exit status, 0.

    Raises:
        ValueError, OSError: The photo or the model cannot be read, or the model has no such attention.
    """
    if arguments.classes is not None and not (arguments.cls and arguments.part == "decoder"):
        raise ValueError("--classes goes with --decoder --cls: only there is one map per class.")
    if arguments.size is not None and arguments.size < 1:
        raise ValueError(f"--size: expected a positive number of pixels, found {arguments.size}.")
    folder = _result_folder(arguments)
    if arguments.image.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{arguments.image}: lies in {folder}, where the pictures go: choose another --output.")
    pixels, _ = read_photo(arguments.image)
    model, image_processor = load_model(arguments)
    config: Any = model.config
    size = arguments.size or min(as_pair(config.image_size))
    photo = whole_patches(Image.fromarray(pixels), size, config.patch_size)
    attention = attention_maps(
        model,
        _pixel_values(model, image_processor, photo),
        part=arguments.part,
        layer=arguments.layer,
        patch=arguments.patch,
    )
    if arguments.part == "decoder" and arguments.cls:
        names = class_names(config)
        written = write_class_pictures(folder, photo, attention, config.patch_size, names, arguments.classes)
    else:
        written = write_query_pictures(folder, photo, attention, config.patch_size, arguments.patch)
    print(f"{written} pictures: {folder}")
    return 0


def _result_folder(arguments: argparse.Namespace) -> Path:
    folder: Path = arguments.output / f"{arguments.part}_layer_{arguments.layer}"
    if not arguments.cls:
        return folder / f"patch_{arguments.patch[0]}_{arguments.patch[1]}"
    return folder if arguments.part == "decoder" else folder / "cls"


def whole_patches(photo: Image.Image, short_side: int, patch_size: int) -> Image.Image:
    """The photo resized to a short side and cut at the right and the bottom to a multiple of the patch size.

    The original's attention maps do not pad either.

    Raises:
        ValueError: The short side is smaller than a patch.
    """
    if short_side < patch_size:
        raise ValueError(f"--size {short_side}: expected at least the {patch_size} pixels of a patch.")
    factor = short_side / min(photo.size)
    width, height = (max(int(side * factor + 0.5), short_side) for side in photo.size)
    resized = photo.resize((width, height), Image.Resampling.BILINEAR)
    return resized.crop((0, 0, width - width % patch_size, height - height % patch_size))


def _pixel_values(
    model: PreTrainedModel, image_processor: SemanticSegmentationProcessing, photo: Image.Image
) -> torch.Tensor:
    """The photo at its own size, normalized as the image processor does, for the model's device and dtype."""
    inputs = cast(Any, image_processor.without_size_rules())(images=photo, return_tensors="pt")
    parameter = next(model.parameters())
    return inputs["pixel_values"].to(parameter.device, parameter.dtype)


def write_query_pictures(
    folder: Path, photo: Image.Image, attention: AttentionMaps, patch_size: int, patch: tuple[int, int] | None
) -> int:
    """Writes `head_<n>.png`, `mean.png`, `input.png` and `overview.png` for one query; returns how many files."""
    maps = attention.maps[:, 0].numpy()
    marked = marked_photo(photo, patch, patch_size)
    pictures = {"input": marked, **_head_pictures(maps, patch_size)}
    pictures["overview"] = overview([(name.replace("_", " "), picture) for name, picture in pictures.items()])
    for name, picture in pictures.items():
        save_overlay(picture, folder / f"{name}.png")
    return len(pictures)


def write_class_pictures(
    folder: Path,
    photo: Image.Image,
    attention: AttentionMaps,
    patch_size: int,
    names: dict[int, str],
    chosen: str | None,
) -> int:
    """Writes `head_<n>.png` and `mean.png` for every class in a folder of its own; returns how many files.

    There is also an `overview.png` of the classes that the model sees most.
    """
    ids = _chosen_classes(chosen, names)
    for index in ids:
        for name, picture in _head_pictures(attention.maps[:, index].numpy(), patch_size).items():
            save_overlay(picture, folder / f"class_{index:03d}_{_file_name(names[index])}" / f"{name}.png")
    areas = np.bincount(attention.logits.argmax(0).flatten().numpy(), minlength=len(names))
    shown = sorted(ids, key=lambda index: (-areas[index], index))[:_MOST_CLASSES_SHOWN]
    means = attention.maps.mean(0).numpy()
    tiles = [(names[index], map_picture(means[index], patch_size)) for index in shown]
    save_overlay(overview([("input", photo.convert("RGB")), *tiles]), folder / "overview.png")
    return len(ids) * (len(attention.maps) + 1) + 1


def _head_pictures(maps: np.ndarray, patch_size: int) -> dict[str, Image.Image]:
    pictures = {"mean": map_picture(maps.mean(0), patch_size)}
    return pictures | {f"head_{head:02d}": map_picture(one, patch_size) for head, one in enumerate(maps)}


def _chosen_classes(chosen: str | None, names: dict[int, str]) -> list[int]:
    if chosen is None:
        return sorted(names)
    ids = {name: index for index, name in names.items()}
    found = []
    for word in chosen.split(","):
        word = word.strip()
        index = int(word) if word.isdigit() else ids.get(word, -1)
        if index not in names:
            raise ValueError(f"--classes {word}: expected a name or an id from 0 to {len(names) - 1} of the model.")
        found.append(index)
    return found


def _patch(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)\s*,\s*(\d+)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"expected X,Y such as 0,21, found {text!r}.")
    return int(match[1]), int(match[2])


def _file_name(name: str) -> str:
    return re.sub(r"[^0-9A-Za-z]+", "-", name).strip("-") or "unnamed"


__all__ = ["add_arguments", "run", "whole_patches"]
