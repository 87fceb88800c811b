"""Writes model cards: one per released checkpoint, from the table, and one for checkpoints of a user's own.

`python -m segvit_hf.conversion.cards --output model_cards` writes the cards of the table again.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from segvit_hf.conversion.released_checkpoint import Publication, ReleasedCheckpoint, published
from segvit_hf.conversion.released_checkpoints import RELEASED_CHECKPOINTS

_LIMITS = """\
## Limits

- The model labels every pixel with one of its training classes; what is none of them gets the nearest one.
- It carries the biases of its training photographs. Do not use it where a wrong label can harm somebody.
- Other input sizes than the training crop work (position embeddings are interpolated, larger inputs are run in
  sliding windows), with lower accuracy far from it.
"""

_TEMPLATE = """\
# {title}

{summary}

## How to use

```python
from PIL import Image

import segvit_hf
from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation

model = AutoModelForSemanticSegmentation.from_pretrained("{folder}")
image_processor = AutoImageProcessor.from_pretrained("{folder}")
label_map = segvit_hf.segment(model, image_processor, Image.open("photo.jpg"))  # (height, width), int64
```

`import segvit_hf` registers the architecture with transformers: install the package segvit-hf. Without that line, pass
`trust_remote_code=True` to both `from_pretrained` (the package must still be installed).
`pipeline("image-segmentation", model=model, image_processor=image_processor)` gives the same label map.

{details}
{limits}
## License

{license}

## Citation

```bibtex
{citation}
```
"""


def released_model_card(checkpoint: ReleasedCheckpoint, conversion: str = "", folder: str | None = None) -> str:
    """The card of a released checkpoint.

    Args:
        checkpoint: A line of the table.
        conversion: A paragraph about one conversion, or nothing.
        folder: Where the converted model is; the preset's name by default.

    Returns:
        Markdown with YAML metadata.
    """
    publication = checkpoint.publication
    metadata = {
        **_license_metadata(publication),
        "library_name": "transformers",
        "pipeline_tag": "image-segmentation",
        **({"base_model": checkpoint.repository} if checkpoint.is_on_the_hub else {}),
        "datasets": [checkpoint.dataset_id],
        "tags": ["segvit_hf", checkpoint.family, "semantic-segmentation", "vision"],
    }
    summary = (
        f"{checkpoint.description}, trained on {checkpoint.dataset_name} by "
        f"{publication.trained_by or 'the authors of'} *{publication.title}* "
        f"([paper]({publication.paper}), [code]({publication.code})), for use with Hugging Face transformers. "
        + _origin_of_the_weights(checkpoint)
    )
    details = [
        "## Results\n",
        "| data set | classes | mIoU, single scale | mIoU, multi-scale + flip |",
        "|---|---|---|---|",
        f"| {checkpoint.dataset_name} | {checkpoint.num_labels} | {published(checkpoint.miou_single_scale)} | "
        f"{published(checkpoint.miou_multi_scale)} |",
        "",
        "As published by the authors in percent, not measured again with this conversion. Larger images are run in "
        f"windows of {checkpoint.crop}x{checkpoint.crop} pixels, {checkpoint.stride} apart.",
        *(["", checkpoint.note] if checkpoint.note else []),
        "",
        "## Conversion\n",
        conversion or _how_to_convert(checkpoint),
        "",
    ]
    return _front_matter(metadata) + _TEMPLATE.format(
        title=f"{checkpoint.description}, {checkpoint.dataset_name}",
        summary=summary,
        folder=folder or checkpoint.name,
        details="\n".join(details),
        limits=_LIMITS,
        license=f"{publication.license_text} [License text]({publication.license_link}).",
        citation=publication.citation,
    )


def _origin_of_the_weights(checkpoint: ReleasedCheckpoint) -> str:
    if not checkpoint.is_released:
        return "The weights were not released."
    if checkpoint.page is not None:
        return (
            f"The weights are those that [its authors link]({checkpoint.page}): only their names and the file format "
            "differ."
        )
    place = f"in the folder {checkpoint.base_url}"
    if checkpoint.is_on_the_hub:
        place = f"in the Hub repository [{checkpoint.repository}](https://huggingface.co/{checkpoint.repository})"
    return f"The weights are those of `{checkpoint.file_name}` {place}: only their names and the file format differ."


def _how_to_convert(checkpoint: ReleasedCheckpoint) -> str:
    command = f"segvit-hf convert {checkpoint.name}"
    file_name = checkpoint.file_name.rsplit("/", 1)[-1]
    commands = f"{command} {file_name} --output {checkpoint.name}\n"
    if not checkpoint.is_released:
        advice = "give\nthe path of a file that was trained with the authors' configuration"
    elif checkpoint.page is not None:
        advice = f"download\nthe file by hand from [its page]({checkpoint.page}) and give its path"
    else:
        commands = f"{command} --output {checkpoint.name}\n{commands}"
        place = "from the Hub" if checkpoint.is_on_the_hub else "from there"
        advice = f"the\nfile is fetched {place}, or give its path"
    reason = "" if _is_free(checkpoint.publication) else ", because of their license"
    advice = f"Convert them on your own machine; {advice}"
    return f"The weights are not distributed here{reason}. {advice}:\n\n``bash\n{commands}``"


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


def own_model_card(family: str, file_name: str, conversion: str, folder: str) -> str:
    """The card of a checkpoint that is not in the table: says what is known, and asks its owner for the rest."""
    metadata = {
        "license": "unknown",
        "library_name": "transformers",
        "pipeline_tag": "image-segmentation",
        "tags": ["segvit_hf", family, "semantic-segmentation", "vision"],
    }
    return _front_matter(metadata) + _TEMPLATE.format(
        title=folder,
        summary=f"A semantic segmentation model of the family `{family}`, converted from `{file_name}` for use with "
        "Hugging Face transformers.",
        folder=folder,
        details=f"## Conversion\n\n{conversion}\n",
        limits=_LIMITS,
        license="Not known to the conversion: the terms of the original weights apply. State them before sharing.",
        citation=next(c.publication.citation for c in RELEASED_CHECKPOINTS if c.family == family),
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
    """Writes `<preset>.md` for every released checkpoint; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for checkpoint in RELEASED_CHECKPOINTS:
        file = folder / f"{checkpoint.name}.md"
        temporary = file.with_name(f".{file.name}.tmp")
        temporary.write_text(released_model_card(checkpoint), encoding="utf-8")
        temporary.replace(file)
        files.append(file)
    return files


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
