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
    license_name: str
    license_link: str
    license_text: str
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
    """One released file.

    Attributes:
        name: The preset's name on the command line.
        family: The model type that converts it.
        description: The architecture in words.
        repository, file_name: Where the file is on the Hub, or below `base_url`. Where no name of a file is known, it
            is made from that of the original configuration.
        label_set: Name for `get_label_set`.
        dataset_name, dataset_id: The data set in words, and as an identifier for a model card.
        build_original: Makes the original's configuration, without labels.
        crop, stride: Side of the windows of its evaluation and their distance, in pixels.
        miou_single_scale, miou_multi_scale: As published, in percent, `None` where nothing was; not measured here.
        publication: Paper, license, citation.
        note: What a user should know about this file.
        base_url: Address of the folder that `file_name` is in, where `repository` is none of the Hub.
        page: Address of a page that shows the file to people, where no program can fetch it.
        is_released: Whether there is a file; if not, the preset converts one of the user's own.
        layout: Which naming of the weights the file has, for families that know several.
        same_model_as: The preset of the same model in the family's first layout, if there is one.
        build_multi_scale_test_pipeline: Makes the test pipeline of the original's multi-scale protocol, where that is
            not the single-scale one at other scales.
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
    page: str | None = None
    is_released: bool = True
    build_multi_scale_test_pipeline: Callable[[], list[dict[str, Any]]] | None = None

    @property
    def url(self) -> str | None:
        """Address of the file, or of its page, for a download by hand; `None` if it was never released."""
        if not self.is_released:
            return None
        if self.page is not None:
            return self.page
        if self.base_url is not None:
            return f"{self.base_url}/{self.file_name}"
        return f"https://huggingface.co/{self.repository}/resolve/main/{self.file_name}"

    @property
    def is_on_the_hub(self) -> bool:
        """Whether `repository` is one of the Hub that has the file."""
        return self.is_released and self.base_url is None and self.page is None

    @property
    def num_labels(self) -> int:
        """Number of classes."""
        return len(get_label_set(self.label_set).classes)

    @property
    def original(self) -> dict[str, Any]:
        """The third argument of `convert_checkpoint`, with class names and palette."""
        labels = get_label_set(self.label_set)
        multi_scale = self.build_multi_scale_test_pipeline
        return {
            **self.build_original(),
            **({} if multi_scale is None else {"multi_scale_test_pipeline": multi_scale()}),
            "classes": list(labels.classes),
            "palette": [list(color) for color in labels.palette],
            "reduce_zero_label": labels.reduce_zero_label,
        }


def published(miou: float | None) -> str:
    """A score as tables show it."""
    return "-" if miou is None else str(miou)


__all__ = ["Publication", "ReleasedCheckpoint", "published"]
