"""The tables of released models, from the presets: for a terminal, and as CHECKPOINTS.md.

`python -m segvit_hf.conversion.checkpoint_tables --output CHECKPOINTS.md` writes the file again.
"""

import argparse
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from segvit_hf.files import write_text
from segvit_hf.presets import Preset, get_preset, list_presets

_HEAD = """\
# Released checkpoints

Made from `conversion/presets`: edit there. `segvit-hf convert PRESET` converts these models. mIoU in percent,
single-scale / multi-scale with flip (or top-1 accuracy, or box AP), **as published by the models' authors; not
measured again here.** Files on Google Drive no program can fetch: download them by hand and give their path. Weights
that were never released convert from a file of your own that was trained with the authors' configuration.
"""
_NOT_MEASURED = (
    "mIoU (of ImageNet's models top-1 accuracy, of COCO's box AP) in percent as published by the authors, "
    "not measured again."
)
# By task, what the published numbers are.
SCORES = {"segmentation": "mIoU", "classification": "top-1", "detection": "box AP"}


def format_score(score: float | None) -> str:
    """A published number as tables show it."""
    return "-" if score is None else str(score)


def terminal_table() -> str:
    """All presets, one line each, with published numbers."""
    rows = [("PRESET", "FILE", "DATA SET", "CLASSES", "mIoU", "mIoU (ms)")]
    for preset in map(get_preset, list_presets()):
        # One number for what is no segmentation model.
        single_scale, multi_scale = [*map(format_score, preset.published), "-"][:2]
        name = _file_name(preset)
        rows.append((preset.name, name, preset.data_set.title, str(preset.num_labels), single_scale, multi_scale))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, "", _NOT_MEASURED])


def markdown_tables() -> str:
    """The content of CHECKPOINTS.md: one table per family and origin of the weights."""
    presets = [get_preset(name) for name in list_presets()]
    sections = [
        _section(list(group)) for _, group in groupby(presets, key=lambda preset: (preset.publication, preset.task))
    ]
    return "\n".join([_HEAD, *sections])


def _section(presets: Sequence[Preset]) -> str:
    publication = presets[0].publication
    task = presets[0].task
    lines = [
        f"## {publication.title}" + ("" if task == "segmentation" else f": {task}"),
        "",
        f"Trained by {publication.trained_by} [the paper]({publication.paper}), [code]({publication.code}). "
        f"{publication.license_text} [License text]({publication.license_link}).",
        "",
        f"| preset | model | file | data set | crop | {SCORES[task]} |",
        "|---|---|---|---|---|---|",
        *(_row(preset) for preset in presets),
        *_notes(presets),
        "",
    ]
    return "\n".join(lines)


def _notes(presets: Sequence[Preset]) -> list[str]:
    """Each note once, with the presets that it is about unless it is about all of them."""
    names: dict[str, list[str]] = {}
    for preset in presets:
        if preset.note:
            names.setdefault(preset.note, []).append(f"`{preset.name}`")
    about = {note: "" if len(named) == len(presets) else f"{', '.join(named)}: " for note, named in names.items()}
    return [f"\n{about[note]}{note}" for note in names]


def _row(preset: Preset) -> str:
    file = f"[`{_file_name(preset)}`]({preset.url})" if preset.released else "not released"
    scores = " / ".join(map(format_score, preset.published))
    return f"| `{preset.name}` | {preset.title} | {file} | {preset.data_set.title} | {preset.crop} | {scores} |"


def _file_name(preset: Preset) -> str:
    # Segmenter's files are all called checkpoint.pth, in folders that tell them apart.
    return preset.file if preset.file.endswith("/checkpoint.pth") else preset.file.rsplit("/", 1)[-1]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m segvit_hf.conversion.checkpoint_tables", description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="the file to write, usually CHECKPOINTS.md")
    write_text(parser.parse_args(arguments).output, markdown_tables())
    return 0


if __name__ == "__main__":
    sys.exit(main())


__all__ = ["SCORES", "format_score", "markdown_tables", "terminal_table"]
