"""`segvit-hf convert`: from a released `.pth` file to a folder that `from_pretrained` loads."""

import argparse
import difflib
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import segvit_hf
from segvit_hf.cli.path_arguments import named_argument, path_argument
from segvit_hf.conversion.cards import conversion_summary, own_model_card, released_model_card
from segvit_hf.conversion.checkpoint_tables import terminal_table
from segvit_hf.conversion.convert import ConvertedCheckpoint, convert_checkpoint, convert_weights
from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.export import check_output_folder, describe_file, export_checkpoint
from segvit_hf.conversion.families import FAMILIES
from segvit_hf.conversion.merging import needs_encoder, with_encoder
from segvit_hf.conversion.preset_matching import preset_for_classes, preset_for_naming
from segvit_hf.conversion.reading.download import fetch_checkpoint, fetch_encoder, fetch_released_file, is_url
from segvit_hf.conversion.reading.encoder_weights import read_encoder_weights
from segvit_hf.conversion.reading.original_configuration import read_original_configuration
from segvit_hf.conversion.reading.recognition import recognize_checkpoint_names
from segvit_hf.conversion.reading.safe_loading import LoadedCheckpoint, load_checkpoint_file
from segvit_hf.messages import printable
from segvit_hf.presets import Preset, get_preset, list_presets

_DESCRIPTION = """\
Convert released weights to a folder with model.safetensors, config.json, preprocessor_config.json and a model card.

  segvit-hf convert segvit-vit-b-ade20k --output segvit-b            fetch the file from its Hub repository
  segvit-hf convert segvit-vit-b-ade20k ade_51.3.pth --output segvit-b
  segvit-hf convert segmenter-seg-t-mask-16-ade20k seg_tiny_mask/checkpoint.pth --output seg-t
  segvit-hf convert --family segvit --config original.json latest.pth --output mine
  segvit-hf convert --family segmenter seg_tiny_mask/ --output mine  with the variant.yml that lies there
  segvit-hf convert dinov3-mask2former-vit-7b-16-ade20k HEAD.pth --encoder FOLDER --output dinov3
  segvit-hf convert setr-pup-vit-l-ade20k --naming mmseg --output setr      the file of mmsegmentation's zoo
  segvit-hf convert --list

Files are loaded safely: nothing in them is ever executed."""

# Of what a file holds beside its weights; conversion_report.json has more.
_MOST_IGNORED = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the description and the arguments of the command."""
    parser.description = _DESCRIPTION
    parser.add_argument(
        "preset", nargs="?", metavar="PRESET", type=named_argument, help="name of a released model (see --list)"
    )
    parser.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        type=named_argument,
        help="the .pth file, its folder or its address; fetched when left out",
    )
    parser.add_argument("--output", metavar="DIR", type=path_argument, help="folder to write")
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace the files of a saved model that is in DIR already, and no other",
    )
    parser.add_argument(
        "--allow-nonfinite", action="store_true", help="convert weights that are NaN, infinite or beyond float32, too"
    )
    parser.add_argument("--revision", help="branch, tag or commit of the Hub repository to fetch the file from")
    parser.add_argument("--family", choices=sorted(FAMILIES), help="convert a file of your own (with --config)")
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=path_argument,
        help='JSON: {"model": ..., "test_pipeline": ..., "classes": ...}, or Segmenter\'s variant.yml (default: the '
        "one beside the file)",
    )
    parser.add_argument(
        "--encoder",
        metavar="ENCODER",
        type=named_argument,
        help="the encoder of a file that holds a head alone (DINOv2, DINOv3): the original's file, a folder that "
        "transformers loads, or a Hub id (default: DINOv2's own file, fetched)",
    )
    parser.add_argument(
        "--naming",
        "--layout",
        choices=("original", "mmseg"),
        help="names of the weights: the authors' or mmsegmentation's (default: what the file has)",
    )
    parser.add_argument("--list", action="store_true", help="list the presets and stop")
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
        print(terminal_table())
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


def _convert_released(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    if arguments.config is not None:
        parser.error("--config goes with --family; a PRESET brings its own configuration")
    preset = _preset(arguments, parser)
    inputs = _inputs(arguments, arguments.file)
    check_output_folder(arguments.output, overwrite=arguments.overwrite, inputs=inputs)
    if arguments.naming is not None:
        preset = preset_for_naming(preset, arguments.naming)
    path = _local_file(arguments.file) if arguments.file else fetch_released_file(preset, arguments.revision)
    loaded, encoder_files = _with_encoder(_load(path), preset.family, arguments.encoder, preset)
    _check_naming(arguments, loaded)
    preset = _fitting_preset(preset, loaded)
    converted = _convert_with_preset(preset, loaded, allow_nonfinite=arguments.allow_nonfinite)
    _write(
        converted,
        loaded,
        arguments,
        encoder_files=encoder_files,
        family=preset.family,
        preset=preset.name,
        card=lambda folder, summary: released_model_card(preset, conversion=summary, folder=folder),
    )
    print(f"License: {preset.publication.license_text}")


def _preset(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> Preset:
    names = list_presets()
    if arguments.preset not in names:
        close = difflib.get_close_matches(arguments.preset, names, n=2)
        advice = f" Did you mean {' or '.join(close)}?" if close else ""
        parser.error(f"unknown preset {arguments.preset!r}.{advice} The presets are: {', '.join(names)}")
    return get_preset(arguments.preset)


def _fitting_preset(preset: Preset, loaded: LoadedCheckpoint) -> Preset:
    """The preset that was asked for, or its sibling whose names or number of classes the file has."""
    found = recognize_checkpoint_names(loaded.state_dict)
    fitting = preset
    if found is not None and found.family == preset.family:
        fitting = preset_for_naming(preset, found.naming)
        if fitting.name != preset.name:
            _note(f"{loaded.path} has the names of {fitting.name}: converting it as that.")
    swapped = preset_for_classes(fitting, FAMILIES[preset.family].count_classes(loaded.state_dict))
    if swapped.name != fitting.name:
        _note(f"{loaded.path} has {swapped.num_labels} classes: converting it as {swapped.name}.")
    return swapped


def _convert_with_preset(preset: Preset, loaded: LoadedCheckpoint, *, allow_nonfinite: bool) -> ConvertedCheckpoint:
    family = FAMILIES[preset.family]
    beside = family.find_configuration(loaded.path) if preset.naming == "original" else None
    if beside is not None:
        _note(f"{loaded.path}: with the configuration beside it.")
        labels = preset.label_set
        known = {"classes": labels.classes, "palette": labels.palette, "reduce_zero_label": labels.reduce_zero_label}
        original = {**known, **beside}
        return convert_checkpoint(preset.family, loaded.state_dict, original, allow_nonfinite=allow_nonfinite)
    config = preset.build_config(**family.read_weights(loaded.state_dict))
    converted = convert_weights(
        preset.family, loaded.state_dict, config, preset.build_image_processor(), allow_nonfinite=allow_nonfinite
    )
    return replace(converted, reading=family.reading(preset.build_config().to_dict(), loaded.state_dict))


def _convert_own(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    file = arguments.file or arguments.preset
    if arguments.file and arguments.preset:
        parser.error("--family takes one FILE and no PRESET")
    if file is None:
        parser.error("--family needs --config original.json and a FILE")
    inputs = _inputs(arguments, file)
    check_output_folder(arguments.output, overwrite=arguments.overwrite, inputs=inputs)
    path = _local_file(file)
    original = None
    if arguments.config is not None:
        original = read_original_configuration(arguments.config)
    elif path.is_file():
        original = FAMILIES[arguments.family].find_configuration(path)
    if original is None:
        parser.error("--family needs --config original.json and a FILE")
    loaded, encoder_files = _with_encoder(_load(path), arguments.family, arguments.encoder)
    _check_naming(arguments, loaded)
    classes = loaded.metadata.get("CLASSES")
    if "classes" not in original and isinstance(classes, (list, tuple)):
        _note("class names: those that the file's `meta` holds.")
        original["classes"] = list(classes)
    task = original.get("task", "segmentation")
    _write(
        convert_checkpoint(arguments.family, loaded.state_dict, original, allow_nonfinite=arguments.allow_nonfinite),
        loaded,
        arguments,
        encoder_files=encoder_files,
        family=arguments.family,
        preset=None,
        card=lambda folder, summary: own_model_card(arguments.family, loaded.path.name, summary, folder, task),
    )


def _with_encoder(
    loaded: LoadedCheckpoint, family: str, encoder: str | None, preset: Preset | None = None
) -> tuple[LoadedCheckpoint, list[Path]]:
    """The checkpoint with the weights of its encoder, where it holds a head alone, and the files of those."""
    if not needs_encoder(family, loaded.state_dict):
        if encoder is not None:
            raise ConversionError(f"--encoder: expected none, for {loaded.path} holds its encoder.")
        return loaded, []
    if encoder is None:
        encoder = str(fetch_encoder(loaded.path, preset))
    weights = read_encoder_weights(encoder)
    merged = with_encoder(family, loaded.state_dict, weights.state_dict)
    return replace(loaded, state_dict=merged), weights.files


def _inputs(arguments: argparse.Namespace, file: str | None) -> list[Path]:
    """The local files that a conversion reads, as far as they are named."""
    given = [] if file is None or is_url(file) else [Path(file)]
    if arguments.encoder is not None:
        encoder = Path(arguments.encoder)
        given += sorted(encoder.iterdir()) if encoder.is_dir() else [encoder]
    return given if arguments.config is None else [*given, arguments.config]


def _local_file(file: str) -> Path:
    """The checkpoint that FILE names: itself, `checkpoint.pth` in a folder, or what is fetched from an address."""
    if is_url(file):
        return fetch_checkpoint(file)
    path = Path(file)
    return path / "checkpoint.pth" if path.is_dir() and (path / "checkpoint.pth").is_file() else path


def _check_naming(arguments: argparse.Namespace, loaded: LoadedCheckpoint) -> None:
    found = recognize_checkpoint_names(loaded.state_dict)
    if found is not None and arguments.naming not in (None, found.naming):
        raise ConversionError(
            f"{loaded.path}: expected weights with the naming {arguments.naming!r}, found {found.naming!r}."
        )


def _load(path: Path) -> LoadedCheckpoint:
    loaded = load_checkpoint_file(path)
    if loaded.ignored:
        parts = [f"{key} ({what})" for key, what in loaded.ignored.items()]
        more = f"; and {len(parts) - _MOST_IGNORED} more" if len(parts) > _MOST_IGNORED else ""
        _note(f"{path}: not used: " + "; ".join(parts[:_MOST_IGNORED]) + f"{more}.")
    return loaded


def _write(
    converted: ConvertedCheckpoint,
    loaded: LoadedCheckpoint,
    arguments: argparse.Namespace,
    *,
    encoder_files: Sequence[Path],
    family: str,
    preset: str | None,
    card: Callable[[str, str], str],
) -> None:
    """Writes the folder; `card` makes the model card from the folder's name and a summary of the conversion."""
    for sentence in converted.reading:
        _note(f"{loaded.path}: {sentence}")
    provenance = {
        "segvit_hf_version": segvit_hf.__version__,
        "family": family,
        "preset": preset,
        **describe_file(loaded.path),
        "wrapper": list(loaded.wrapper),
        "not_used": loaded.ignored,
        **({"encoder": [describe_file(file) for file in encoder_files]} if encoder_files else {}),
        "reading": list(converted.reading),
    }
    summary = conversion_summary(converted.report, provenance)
    folder = export_checkpoint(
        converted,
        arguments.output,
        provenance=provenance,
        write_card=lambda name: card(name, summary),
        overwrite=arguments.overwrite,
        inputs=[loaded.path, *encoder_files, *([] if arguments.config is None else [arguments.config])],
    )
    num_parameters = sum(parameter.numel() for parameter in converted.model.parameters())
    print(f"{folder}: {num_parameters / 1e6:.2f} million parameters, {converted.model.config.num_labels} classes.")


def _note(text: str) -> None:
    print(printable(text), file=sys.stderr)


__all__ = ["add_arguments", "run"]
