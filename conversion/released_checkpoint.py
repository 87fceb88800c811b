"""What is known about one released checkpoint: where it is, what it was trained on, its original configuration."""

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
    # As model cards name it; "other" goes with licence_name and licence_link.
    licence: str = "other"
    # Who trained the weights, if not the authors of the paper.
    trainers: str = ""

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
        repository: Its repository on the Hub; `None` if it is elsewhere.
        file_name: The file. Where its authors' page does not show a name, one made from that of the configuration.
        label_set: Name for `get_label_set`.
        dataset_name, dataset_id: The data set in words, and as an identifier for a model card.
        build_model: Makes the original's mmsegmentation model dictionary.
        build_test_pipeline: Makes the original's test pipeline.
        miou_single_scale, miou_multi_scale: As published, in percent; not measured here. `None`: not published.
        publication: Paper, licence, citation.
        note: What a user should know about this file.
        link: Where the file is if not on the Hub: its address, or a page to download it from by hand. `None` together
            with `repository`: it was never released, and must be a file of the user's own.
        build_multi_scale_test_pipeline: Makes the original's test pipeline of the multi-scale protocol, where that is
            another one.
    """

    name: str
    family: str
    description: str
    repository: str | None
    file_name: str
    label_set: str
    dataset_name: str
    dataset_id: str
    build_model: Callable[[], dict[str, Any]]
    build_test_pipeline: Callable[[], list[dict[str, Any]]]
    miou_single_scale: float | None
    miou_multi_scale: float | None
    publication: Publication
    note: str = ""
    link: str | None = None
    build_multi_scale_test_pipeline: Callable[[], list[dict[str, Any]]] | None = None

    @property
    def url(self) -> str | None:
        """Where the file can be downloaded by hand; `None` if it was never released."""
        if self.repository is None:
            return self.link
        return f"https://huggingface.co/{self.repository}/resolve/main/{self.file_name}"

    @property
    def can_be_fetched(self) -> bool:
        """Whether `url` is the address of the file itself, and not of a page that shows it."""
        return self.url is not None and self.url.endswith(f"/{self.file_name}")

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
            "model": self.build_model(),
            "test_pipeline": self.build_test_pipeline(),
            **({"multi_scale_test_pipeline": multi_scale()} if multi_scale is not None else {}),
            "classes": list(labels.classes),
            "palette": [list(colour) for colour in labels.palette],
            "reduce_zero_label": labels.reduce_zero_label,
        }


__all__ = ["Publication", "ReleasedCheckpoint"]
