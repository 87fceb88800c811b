"""`segvit-hf convert`: from a released `.pth` file to a folder that `from_pretrained` loads."""

import argparse
import difflib
import sys
from pathlib import Path
from typing import Any

import segvit_hf
from segvit_hf.conversion.cards import conversion_summary, own_model_card, released_model_card
from segvit_hf.conversion.convert import convert_checkpoint
from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.export import check_output_folder, describe_file, export_checkpoint
from segvit_hf.conversion.families import FAMILIES
from segvit_hf.conversion.reading.download import fetch_checkpoint, fetch_released_file, is_url
from segvit_hf.conversion.reading.original_configuration import read_original_configuration
from segvit_hf.conversion.reading.recognition import recognize_checkpoint_names
from segvit_hf.conversion.reading.safe_loading import LoadedCheckpoint, load_checkpoint_file
from segvit_hf.conversion.released_checkpoint import published
from segvit_hf.conversion.released_checkpoints import (
    RELEASED_CHECKPOINTS,
    ReleasedCheckpoint,
    preset_for_classes,
    preset_for_layout,
)

_DESCRIPTION = """\
Convert released weights to a folder with model.safetensors, config.json, preprocessor_config.json and a model card.

  segvit-hf convert segvit-vit-b-ade20k --output segvit-b            fetch the file from its Hub repository
  segvit-hf convert segvit-vit-b-ade20k ade_51.3.pth --output segvit-b
  segvit-hf convert segmenter-seg-t-mask-16-ade20k seg_tiny_mask/checkpoint.pth --output seg-t
  segvit-hf convert --family segvit --config original.json latest.pth --output mine
  segvit-hf convert --family segmenter seg_tiny_mask/ --output mine  with the variant.yml that lies there
  segvit-hf convert setr-pup-vit-l-ade20k --layout mmseg --output setr      the file of mmsegmentation's zoo
  segvit-hf convert --list

Files are loaded safely: nothing in them is ever executed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the arguments of the command."""
    parser.description = _DESCRIPTION
    parser.add_argument("preset", nargs="?", metavar="PRESET", help="name of a released checkpoint (see --list)")
    parser.add_argument(
        "file", nargs="?", metavar="FILE", help="the .pth file, its folder or its address; fetched when left out"
    )
    parser.add_argument("--output", metavar="DIR", type=Path, help="folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace a saved model that is in DIR already")
    parser.add_argument("--revision", help="branch, tag or commit of the Hub repository to fetch the file from")
    parser.add_argument("--family", choices=sorted(FAMILIES), help="convert a file of your own (with --config)")
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help='JSON: {"model": ..., "test_pipeline": ..., "classes": ...}, or Segmenter\'s variant.yml (default: the '
        "one beside the file)",
    )
    parser.add_argument(
        "--layout",
        choices=("original", "mmseg"),
        help="naming of the weights: the authors' or mmsegmentation's (default: what the file has)",
    )
    parser.add_argument("--list", action="store_true", help="list the released checkpoints and stop")
    parser.set_defaults(run=lambda arguments: run(arguments, parser))


def run(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Runs the subcommand.

    Returns:
        The exit status, 0.

    Raises:
        ConversionError: If the conversion fails.
        SystemExit: With status 2, if the arguments make no sense.
    """
    if arguments.list:
        print(released_checkpoints_table())
        return 0
    if arguments.output is None:
        parser.error("--output DIR is required")
    if arguments.family is not None:
        _convert_own(arguments, parser)
    elif arguments.preset is None:
        parser.error("a PRESET is required (see --list), or --family with --config and FILE")
    else:
        _convert_released(arguments, parser)
    return 0


def released_checkpoints_table() -> str:
    """The released checkpoints, one line each, with published mIoU."""
    rows = [("PRESET", "FILE", "DATA SET", "CLASSES", "mIoU", "mIoU (ms)")]
    rows += [
        (
            c.name,
            c.file_name,
            c.dataset_name,
            str(c.num_labels),
            published(c.miou_single_scale),
            published(c.miou_multi_scale),
        )
        for c in RELEASED_CHECKPOINTS
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, "", "mIoU in percent as published by the authors, not measured again."])


def _convert_released(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    if arguments.config is not None:
        parser.error("--config goes with --family; a PRESET brings its own configuration")
    names = [checkpoint.name for checkpoint in RELEASED_CHECKPOINTS]
    if arguments.preset not in names:
        close = difflib.get_close_matches(arguments.preset, names, n=2)
        advice = f" Did you mean {' or '.join(close)}?" if close else ""
        parser.error(f"unknown preset {arguments.preset!r}.{advice} The presets are: {', '.join(names)}")
    checkpoint = RELEASED_CHECKPOINTS[names.index(arguments.preset)]
    check_output_folder(arguments.output, overwrite=arguments.overwrite)
    if arguments.layout is not None:
        checkpoint = preset_for_layout(checkpoint, arguments.layout)
    path = _local_file(arguments.file) if arguments.file else fetch_released_file(checkpoint, arguments.revision)
    loaded = _load(path)
    family = FAMILIES[checkpoint.family]
    _check_layout(arguments, loaded)
    found = recognize_checkpoint_names(loaded.state_dict)
    fitting = checkpoint
    if found is not None and found.family == checkpoint.family:
        fitting = preset_for_layout(checkpoint, found.naming)
        if fitting is not checkpoint:
            _note(f"{path} has the layout of {fitting.name}: converting it as that.")
    swapped = preset_for_classes(fitting, family.count_classes(loaded.state_dict))
    if swapped is not fitting:
        _note(f"{path} has {swapped.num_labels} classes: converting it as {swapped.name}.")
    original = swapped.original
    beside = family.find_configuration(path) if swapped.layout == "original" else None
    if beside is not None:
        _note(f"{path}: with the configuration beside it.")
        original = {**original, **beside}
    _convert(swapped.family, loaded, original, arguments, swapped)


def _convert_own(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    file = arguments.file or arguments.preset
    if arguments.file and arguments.preset:
        parser.error("--family takes one FILE and no PRESET")
    if file is None:
        parser.error("--family needs --config original.json and a FILE")
    check_output_folder(arguments.output, overwrite=arguments.overwrite)
    path = _local_file(file)
    original = None
    if arguments.config is not None:
        original = read_original_configuration(arguments.config)
    elif path.is_file():
        original = FAMILIES[arguments.family].find_configuration(path)
    if original is None:
        parser.error("--family needs --config original.json and a FILE")
    loaded = _load(path)
    _check_layout(arguments, loaded)
    classes = loaded.metadata.get("CLASSES")
    if "classes" not in original and isinstance(classes, (list, tuple)):
        _note("class names: those that the file's `meta` holds.")
        original["classes"] = list(classes)
    _convert(arguments.family, loaded, original, arguments, None)


def _local_file(file: str) -> Path:
    """The checkpoint that FILE names: itself, `checkpoint.pth` in a folder, or what is fetched from an address."""
    if is_url(file):
        return fetch_checkpoint(file)
    path = Path(file)
    return path / "checkpoint.pth" if path.is_dir() and (path / "checkpoint.pth").is_file() else path


def _check_layout(arguments: argparse.Namespace, loaded: LoadedCheckpoint) -> None:
    found = recognize_checkpoint_names(loaded.state_dict)
    if found is not None and arguments.layout not in (None, found.naming):
        raise ConversionError(
            f"{loaded.path}: expected weights in the layout {arguments.layout!r}, found {found.naming!r}."
        )


def _load(path: Path) -> LoadedCheckpoint:
    loaded = load_checkpoint_file(path)
    if loaded.ignored:
        _note(f"{path}: not used: " + "; ".join(f"{key} ({what})" for key, what in loaded.ignored.items()) + ".")
    return loaded


def _convert(
    family: str,
    loaded: LoadedCheckpoint,
    original: dict[str, Any],
    arguments: argparse.Namespace,
    checkpoint: ReleasedCheckpoint | None,
) -> None:
    converted = convert_checkpoint(family, loaded.state_dict, original)
    provenance = {
        "segvit_hf_version": segvit_hf.__version__,
        "family": family,
        "preset": checkpoint.name if checkpoint else None,
        **describe_file(loaded.path),
        "wrapper": list(loaded.wrapper),
        "not_used": loaded.ignored,
    }
    summary = conversion_summary(converted.report, provenance)

    def write_card(folder: str) -> str:
        if checkpoint is not None:
            return released_model_card(checkpoint, conversion=summary, folder=folder)
        return own_model_card(family, loaded.path.name, summary, folder)

    folder = export_checkpoint(
        converted, arguments.output, provenance=provenance, write_card=write_card, overwrite=arguments.overwrite
    )
    num_parameters = sum(parameter.numel() for parameter in converted.model.parameters())
    print(f"{folder}: {num_parameters / 1e6:.2f} million parameters, {converted.model.config.num_labels} classes.")
    if checkpoint is not None:
        print(f"License: {checkpoint.publication.license_text}")


def _note(text: str) -> None:
    print(text, file=sys.stderr)


__all__ = ["add_arguments", "released_checkpoints_table", "run"]
