"""One released checkpoint: where its file is, what it was trained on, its original configuration."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from segvit_hf.data.label_sets import get_label_set


@dataclass(frozen=True)
class Publication:
    """Where a family of checkpoints comes from and under which terms."""

    title: str
    authors: str
    venue: str
    year: int
    paper: str
    code: str
    licence_name: str
    licence_link: str
    licence_text: str
    citation_key: str
    # Who trained the weights, where it was not the authors of the paper.
    trained_by: str | None = None

    @property
    def citation(self) -> str:
        """A BibTeX entry."""
        return (
            f"@inproceedings{{{self.citation_key},\n"
            f"  title = {{{self.title}}},\n"
            f"  author = {{{self.authors}}},\n"
            f"  booktitle = {{{self.venue}}},\n"
            f"  year = {{{self.year}}},\n"
            f"  url = {{{self.paper}}}\n"
            "}"
        )


@dataclass(frozen=True)
class ReleasedCheckpoint:
    """
    One released file.

    Attributes:
        name: The preset's name on the command line.
        family: The model type that converts it.
        description: The architecture in words.
        repository, file_name: Where the file is on the Hub, or below `base_url`.
        label_set: Name for `get_label_set`.
        dataset_name, dataset_id: The data set in words, and as an identifier for a model card.
        build_original: Makes the original's configuration, without labels.
        crop, stride: Side of the windows of its evaluation and their distance, in pixels.
        miou_single_scale, miou_multi_scale: As published, in percent, `None` where nothing was; not measured here.
        publication: Paper, licence, citation.
        note: What a user should know about this file.
        base_url: Address of the folder that `file_name` is in, where `repository` is none of the Hub.
        layout: Which naming of the weights the file has, for families that know several.
        same_model_as: The preset of the same model in the family's first layout, if there is one.
    """

    name: str
    family: str
    description: str
    repository: str
    file_name: str
    label_set: str
    dataset_name: str
    dataset_id: str
    build_original: Callable[[], dict[str, Any]]
    crop: int
    stride: int
    miou_single_scale: float | None
    miou_multi_scale: float | None
    publication: Publication
    note: str = ""
    base_url: str | None = None
    layout: str = "original"
    same_model_as: str | None = None

    @property
    def url(self) -> str:
        """Address of the file for a download by hand."""
        if self.base_url is not None:
            return f"{self.base_url}/{self.file_name}"
        return f"https://huggingface.co/{self.repository}/resolve/main/{self.file_name}"

    @property
    def num_labels(self) -> int:
        """Number of classes."""
        return len(get_label_set(self.label_set).classes)

    @property
    def original(self) -> dict[str, Any]:
        """The third argument of `convert_checkpoint`, with class names and palette."""
        labels = get_label_set(self.label_set)
        return {
            **self.build_original(),
            "classes": list(labels.classes),
            "palette": [list(colour) for colour in labels.palette],
            "reduce_zero_label": labels.reduce_zero_label,
        }


def published(miou: float | None) -> str:
    """A score as tables show it."""
    return "-" if miou is None else str(miou)


__all__ = ["Publication", "ReleasedCheckpoint", "published"]
