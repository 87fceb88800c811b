"""Writes model cards: one per preset, and one for checkpoints of a user's own.

`python -m segvit_hf.conversion.cards --output model_cards` writes the cards of all presets again.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from segvit_hf.conversion.card_tasks import CARD_TASKS
from segvit_hf.conversion.checkpoint_tables import format_score
from segvit_hf.files import write_text
from segvit_hf.presets import Preset, Publication, get_preset, list_presets

_TEMPLATE = """\
# {title}

{summary}

## How to use

```python
{use}

{details}
## Limits

{limits}

## License

{license}

## Citation

```bibtex
{citation}
```
"""


def released_model_card(preset: Preset, conversion: str = "", folder: str | None = None) -> str:
    """The card of a released model.

    Args:
        preset: The model.
        conversion: A paragraph about one conversion, or nothing.
        folder: Where the converted model is; the preset's name by default.

    Returns:
        Markdown with YAML metadata.
    """
    publication, task = preset.publication, CARD_TASKS[preset.task]
    folder = folder or preset.name
    metadata = {
        **_license_metadata(publication),
        "library_name": "transformers",
        "pipeline_tag": task.pipeline,
        **_base_model(preset),
        "datasets": [preset.data_set.hub_id],
        "tags": ["segvit_hf", *dict.fromkeys([preset.family, preset.model_type]), task.tag, "vision"],
    }
    summary = (
        f"{preset.title}, trained on {preset.data_set.title} by {publication.trained_by} *{publication.title}* "
        f"([paper]({publication.paper}), [code]({publication.code})), for use with Hugging Face transformers. "
        + _origin_of_the_weights(preset)
    )
    return _front_matter(metadata) + _TEMPLATE.format(
        title=f"{preset.title}, {preset.data_set.title}",
        summary=summary,
        use=task.use.format(folder=folder),
        details=_details(preset, conversion or _how_to_convert(preset)),
        limits=task.limits,
        license=f"{publication.license_text} [License text]({publication.license_link}).",
        citation=publication.citation,
    )


def _base_model(preset: Preset) -> dict[str, str]:
    base_model = preset.repository if preset.is_on_the_hub else preset.encoder_id
    return {} if base_model is None else {"base_model": base_model}


def _details(preset: Preset, conversion: str) -> str:
    columns, scores = CARD_TASKS[preset.task].columns, map(format_score, preset.published)
    notes = [*_multi_scale_note(preset), *_release_note(preset), *filter(None, [preset.note])]
    lines = [
        "## Results\n",
        f"| data set | classes | {' | '.join(columns)} |",
        "|---|---|" + "---|" * len(columns),
        f"| {preset.data_set.title} | {preset.num_labels} | {' | '.join(scores)} |",
        "",
        f"As published by the authors in percent, not measured again with this conversion. {_input_note(preset)}",
        *(["", " ".join(notes)] if notes else []),
        "",
        "## Conversion\n",
        conversion,
        "",
    ]
    return "\n".join(lines)


def _input_note(preset: Preset) -> str:
    if preset.task == "classification":
        return f"Photos are resized to a short side of {max(preset.scale)} pixels and cropped to {preset.crop}."
    if preset.task == "detection":
        return f"Photos are resized to fit within {max(preset.scale)}x{min(preset.scale)} pixels."
    return f"Larger images are run in windows of {preset.crop}x{preset.crop} pixels, {preset.stride} apart."


def _multi_scale_note(preset: Preset) -> list[str]:
    if preset.multi_scale is None:
        return []
    scales = f"Multi-scale protocol of the authors: scales {', '.join(map(str, preset.multi_scale))} with flip"
    short_edge = preset.image_processor.get("multi_scale_minimum_short_edge")
    if short_edge is None:
        return [f"{scales}."]
    return [f"{scales}; the short side is then never below {short_edge} pixels, and the long side not capped."]


def _release_note(preset: Preset) -> list[str]:
    if preset.released:
        return []
    return [
        "The authors published the configuration and the numbers of this model, but not its weights: the preset "
        "converts a file of your own that was trained with the configuration."
    ]


def _origin_of_the_weights(preset: Preset) -> str:
    if not preset.released:
        return "The weights were not released."
    if preset.page is not None:
        return (
            f"The weights are those that [its authors link]({preset.page}){_and_encoder(preset)}: only their names "
            "and the file format differ."
        )
    place = f"at {preset.base_url}"
    if preset.is_on_the_hub:
        place = f"in the Hub repository [{preset.repository}](https://huggingface.co/{preset.repository})"
    return (
        f"The weights are those of `{preset.file}` {place}{_and_encoder(preset)}: only their names and the file "
        "format differ."
    )


def _and_encoder(preset: Preset) -> str:
    if preset.encoder_id is None:
        return ""
    return f", and those of its encoder, [{preset.encoder_id}](https://huggingface.co/{preset.encoder_id})"


def _how_to_convert(preset: Preset) -> str:
    command = f"segvit-hf convert {preset.name}"
    file_name = preset.file.rsplit("/", 1)[-1]
    encoder = "" if preset.encoder_id is None else f" --encoder {preset.encoder_id}"
    commands = f"{command} {file_name}{encoder} --output {preset.name}\n"
    if not preset.released:
        advice = "give\nthe path of a file that was trained with the authors' configuration"
    elif preset.page is not None:
        advice = f"download\nthe file by hand from [its page]({preset.page}) and give its path"
        if encoder:
            advice += "; the encoder may also\nbe a folder or the original's file"
    else:
        commands = f"{command} --output {preset.name}\n{commands}"
        place = "from the Hub" if preset.is_on_the_hub else "from there"
        advice = f"the\nfile is fetched {place}, or give its path"
    reason = "" if _is_free(preset.publication) else ", because of their license"
    advice = f"Convert them on your own machine; {advice}"
    return f"The weights are not distributed here{reason}. {advice}:\n\n```bash\n{commands}```"


def _is_free(publication: Publication) -> bool:
    """Whether the license is one that the Hub knows by name, all of which here allow redistribution."""
    return publication.license_name in ("apache-2.0", "mit")


def _license_metadata(publication: Publication) -> dict[str, str]:
    if _is_free(publication):
        return {"license": publication.license_name}
    return {
        "license": "other",
        "license_name": publication.license_name,
        "license_link": publication.license_link,
    }


def own_model_card(family: str, file_name: str, conversion: str, folder: str, task: str = "segmentation") -> str:
    """The card of a checkpoint that is not in the table: says what is known, and asks its owner for the rest."""
    texts = CARD_TASKS[task]
    publication = next(p.publication for p in map(get_preset, list_presets()) if p.family == family)
    license_text = "Not known to the conversion: the terms of the original weights apply. State them before sharing."
    if publication.covers_derivatives:
        license_text = f"{publication.license_text} [License text]({publication.license_link})."
    metadata = {
        **(_license_metadata(publication) if publication.covers_derivatives else {"license": "unknown"}),
        "library_name": "transformers",
        "pipeline_tag": texts.pipeline,
        "tags": ["segvit_hf", family, texts.tag, "vision"],
    }
    article = "An" if texts.kind[0] in "aeiou" else "A"
    return _front_matter(metadata) + _TEMPLATE.format(
        title=folder,
        summary=f"{article} {texts.kind} of the family `{family}`, converted from `{file_name}` for use with "
        "Hugging Face transformers.",
        use=texts.use.format(folder=folder),
        details=f"## Conversion\n\n{conversion}\n",
        limits=texts.limits,
        license=license_text,
        citation=publication.citation,
    )


def conversion_summary(report: Mapping[str, str], provenance: Mapping[str, Any]) -> str:
    """One paragraph for a card: what the file was and what became of its entries."""
    dropped = sorted({line.removeprefix("dropped: ") for line in report.values() if line.startswith("dropped: ")})
    num_dropped = sum(line.startswith("dropped: ") for line in report.values())
    verb = "was" if num_dropped == 1 else "were"
    text = (
        f"Converted by segvit-hf {provenance['segvit_hf_version']} from `{provenance['file']}` "
        f"({provenance['size_in_bytes']} bytes, sha256 `{provenance['sha256']}`): {len(report) - num_dropped} of "
        f"{len(report)} entries of its state dict are weights of this model"
    )
    if num_dropped:
        text += f", {num_dropped} {verb} dropped ({'; '.join(dropped)})"
    return text + ". `conversion_report.json` says what became of each."


def write_model_cards(folder: Path) -> list[Path]:
    """Writes `<preset>.md` for every preset; returns the files."""
    files = {folder / f"{name}.md": released_model_card(get_preset(name)) for name in list_presets()}
    for file, card in files.items():
        write_text(file, card)
    return list(files)


def _front_matter(metadata: Mapping[str, Any]) -> str:
    return f"---\n{yaml.safe_dump(dict(metadata), sort_keys=False, allow_unicode=True)}---\n\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of this module."""
    parser = argparse.ArgumentParser(prog="python -m segvit_hf.conversion.cards", description="Write the model cards.")
    parser.add_argument("--output", type=Path, required=True, help="folder for the cards, usually model_cards")
    for file in write_model_cards(parser.parse_args(arguments).output):
        print(file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
