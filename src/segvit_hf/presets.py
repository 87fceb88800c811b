"""Presets: the released models by name, each with configuration, image processor, data set and published scores.

    >>> segvit_hf.list_presets("*ade20k*")
    >>> segvit_hf.create_model("segvit-vit-b-ade20k", num_labels=11, pretrained_encoder=True)

The facts stand in one YAML file per family (`conversion/presets` in a clone, `segvit_hf.presets_data` where the
package is installed). A preset is put together from the file's `defaults`, from the `parts` that it names, and from
what it says itself; mappings are merged, later values win.
"""

import copy
import dataclasses
import difflib
import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from typing import Any

import yaml
from transformers import PreTrainedConfig, PreTrainedModel

from segvit_hf._compat import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from segvit_hf.architectures import ARCHITECTURES, get_architecture
from segvit_hf.data.label_sets import LabelSet, get_label_set
from segvit_hf.models.hlg.image_processing_hlg import classification_image_processor

_DATA_SETS = "data_sets.yaml"
# Whose models are of several architectures.
_PROJECTS = ("dinov2", "dinov3")
_NORMALIZATIONS = {
    "imagenet": {"image_mean": IMAGENET_DEFAULT_MEAN, "image_std": IMAGENET_DEFAULT_STD},
    "half": {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]},
}
# By task, which of an architecture's classes a model is of.
_TASKS = {
    "segmentation": "semantic_segmentation",
    "classification": "image_classification",
    "detection": "object_detection",
}


@dataclass(frozen=True)
class DataSet:
    """A data set that models were trained on.

    Attributes:
        name: Its name in the presets.
        title: In words.
        label_set: Name for `segvit_hf.data.get_label_set`.
        hub_id: Its identifier in model cards.
        layout: Name in `segvit_hf.data.LAYOUTS`, or `None`.
    """

    name: str
    title: str
    label_set: str
    hub_id: str
    layout: str | None = None


@dataclass(frozen=True)
class Publication:
    """Where a family of checkpoints comes from and under which terms.

    `covers_derivatives` says that the license also holds for whatever is trained from the weights.
    """

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
    trained_by: str = "the authors of"
    entry_type: str = "inproceedings"
    covers_derivatives: bool = False

    @property
    def citation(self) -> str:
        """A BibTeX entry."""
        container = "journal" if self.entry_type == "article" else "booktitle"
        return (
            f"@{self.entry_type}{{{self.citation_key},\n"
            f"  title = {{{self.title}}},\n"
            f"  author = {{{self.authors}}},\n"
            f"  {container} = {{{self.venue}}},\n"
            f"  year = {{{self.year}}},\n"
            f"  url = {{{self.paper}}}\n"
            "}"
        )


@dataclass(frozen=True)
class Preset:
    """One released model.

    Attributes:
        name: On the command line and in recipes.
        family: Of its conversion: its model type, or the project that released it.
        title: The architecture in words.
        data_set: What it was trained on.
        crop: Side of its training crops and of the windows of its evaluation, in pixels; a detector's short side.
        scale: [long side, short side] that photos are resized within, in pixels; [short side] where the long one is
            not limited.
        publication: Paper, license, citation.
        repository: Where the weights come from: a Hub repository where neither `base_url` nor `google_drive` is set.
        file: Name of the file, below `repository` or `base_url`; for a model whose weights were never released it is
            made from the name of the configuration.
        task: "segmentation", "classification" or "detection".
        stride: Distance of the windows, in pixels; of segmentation models.
        mean_iou: Published mIoU in percent, single scale and multi-scale with flip; `None` where nothing was
            published. Not measured here.
        top_1: Likewise, a classifier's accuracy.
        box_ap: Likewise, a detector's average precision.
        config: Fields of the family's configuration that differ from its defaults, labels aside.
        image_processor: Fields of the family's image processor that differ from its defaults.
        pretrained_encoder: timm's name of the ImageNet weights that training starts from.
        multi_scale: Scales of the authors' multi-scale protocol, where it is not ours.
        base_url: Address of the folder that `file` is in.
        google_drive: Identifier of a file that can only be downloaded by hand.
        download_page: Address of a page where people get the file, where no program can.
        encoder_id: Hub id of the encoder of a file that holds a head alone.
        encoder_file: Name of the encoder's original file below `base_url`.
        model_type: That of the architecture; by default the family.
        released: Whether there are weights; if not, the preset converts a file of one's own.
        naming: Which names the weights have, "original" or "mmseg".
        same_model_as: The preset of the same model with the original names.
        note: What a user should know about this model.
    """

    name: str
    family: str
    title: str
    data_set: DataSet
    crop: int
    scale: list[int]
    publication: Publication
    repository: str
    file: str
    task: str = "segmentation"
    stride: int | None = None
    mean_iou: list[float | None] = field(default_factory=lambda: [None, None])
    top_1: float | None = None
    box_ap: float | None = None
    config: dict[str, Any] = field(default_factory=dict)
    image_processor: dict[str, Any] = field(default_factory=dict)
    pretrained_encoder: str | None = None
    multi_scale: list[float] | None = None
    base_url: str | None = None
    google_drive: str | None = None
    download_page: str | None = None
    encoder_id: str | None = None
    encoder_file: str | None = None
    model_type: str = ""
    released: bool = True
    naming: str = "original"
    same_model_as: str | None = None
    note: str = ""

    @property
    def label_set(self) -> LabelSet:
        """Its classes and their colors."""
        return get_label_set(self.data_set.label_set)

    @property
    def num_labels(self) -> int:
        """Number of its classes."""
        return self.label_set.num_labels

    @property
    def layout(self) -> str | None:
        """The folders of its data set, a name in `segvit_hf.data.LAYOUTS`."""
        return self.data_set.layout

    @property
    def crop_size(self) -> list[int]:
        """[height, width] of its training crops."""
        return [self.crop, self.crop]

    @property
    def model_class(self) -> type[PreTrainedModel]:
        """The class of its model."""
        model_class = getattr(get_architecture(self.model_type), _TASKS[self.task])
        assert model_class is not None  # presets name tasks that their architecture has
        return model_class

    @property
    def published(self) -> list[float | None]:
        """The authors' numbers, in percent: mIoU at one scale and at several, top-1 accuracy, or box AP."""
        return {"classification": [self.top_1], "detection": [self.box_ap]}.get(self.task, self.mean_iou)

    @property
    def is_on_the_hub(self) -> bool:
        """Whether `repository` is one of the Hub that has the file."""
        return self.released and self.base_url is None and self.page is None

    @property
    def page(self) -> str | None:
        """Address of a page that shows the file to people, where no program can fetch it."""
        if self.google_drive is None:
            return self.download_page
        return f"https://drive.google.com/file/d/{self.google_drive}/view?usp=sharing"

    @property
    def url(self) -> str | None:
        """Address of the file, or of its page; `None` if it was never released."""
        if not self.released:
            return None
        if self.base_url is not None:
            return f"{self.base_url}/{self.file}"
        return self.page or f"https://huggingface.co/{self.repository}/resolve/main/{self.file}"

    def build_config(self, num_labels: int | None = None, **changes: Any) -> PreTrainedConfig:
        """The configuration.

        Args:
            num_labels: Number of classes; by default the preset's own classes, with their names and colors.
            **changes: Fields that differ from the preset's.
        """
        labels: dict[str, Any] = {"num_labels": num_labels}
        if num_labels is None:
            own = self.label_set
            labels = {"id2label": own.id2label, "label2id": own.label2id}
            if own.palette:
                labels["palette"] = [list(color) for color in own.palette]
        return get_architecture(self.model_type).config(**{**self.config, **changes}, **labels)

    def build_image_processor(self, do_reduce_labels: bool | None = None) -> Any:
        """The image processor (torchvision backend).

        Args:
            do_reduce_labels: As its field of that name; by default what the files of the preset's data set need.

        Returns:
            One of this package's, or for classification transformers' `BitImageProcessor`.
        """
        if self.task == "classification":
            return classification_image_processor(self.crop)
        if do_reduce_labels is None:
            do_reduce_labels = self.label_set.reduce_zero_label
        return get_architecture(self.model_type).image_processor(
            **self.image_processor, do_reduce_labels=do_reduce_labels
        )


def list_presets(pattern: str = "*") -> list[str]:
    """Names of the presets that match a pattern such as `"*ade20k*"`, in the order of the files."""
    return fnmatch.filter(_presets(), pattern)


def get_preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        ValueError: There is none; names the likeliest ones.
    """
    presets = _presets()
    if name not in presets:
        close = difflib.get_close_matches(str(name), presets, n=3) or list(presets)[:3]
        raise ValueError(
            f"Preset {name!r}: expected one of the {len(presets)} names of segvit_hf.list_presets(), for example "
            f"{', '.join(close)}."
        )
    return copy.deepcopy(presets[name])  # its mappings may be changed by whoever asked for it


def create_model(
    name: str, *, num_labels: int | None = None, pretrained_encoder: bool | str = False
) -> PreTrainedModel:
    """A model with a preset's architecture, in float32, on the CPU; its decoder or head starts at random.

    Released weights are converted with `segvit-hf convert` and loaded with `from_pretrained`. The image processor that
    belongs to the model is `get_preset(name).build_image_processor()`.

    Args:
        name: The preset.
        num_labels: Number of classes; by default the preset's own classes, with their names.
        pretrained_encoder: `True` for the ImageNet weights that the authors start from, fetched by timm; or a timm
            name, or a local file, for HLG the folder of a converted classifier (see
            `segvit_hf.conversion.load_pretrained_encoder`). `False` starts at random.

    Raises:
        ValueError: No such preset, or weights that do not fit its encoder.
    """
    preset = get_preset(name)
    source = preset.pretrained_encoder if pretrained_encoder is True else pretrained_encoder
    model = preset.model_class(preset.build_config(num_labels))
    if source:
        # Imported where it is needed: it brings timm.
        from segvit_hf.conversion.pretrained_encoders import load_pretrained_encoder

        load_pretrained_encoder(model, source)
    return model


@lru_cache
def _presets() -> dict[str, Preset]:
    folder = files("segvit_hf.presets_data")
    data_sets = {name: DataSet(name, **row) for name, row in _read(folder / _DATA_SETS).items()}
    presets: dict[str, Preset] = {}
    # In the order of registration, so that lists and tables begin with the package's first family.
    for family in (*(architecture.config.model_type for architecture in ARCHITECTURES), *_PROJECTS):
        file = folder / f"{family}.yaml"
        if not file.is_file():  # an architecture whose models are those of projects
            continue
        content = _read(file)
        for name in content["presets"]:
            presets[name] = _build(name, content, data_sets, source=file.name)
    return presets


def _read(file: Any) -> dict[str, Any]:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def _build(name: str, content: Mapping[str, Any], data_sets: Mapping[str, DataSet], source: str) -> Preset:
    row = dict(content["presets"][name])
    parts = [content["parts"][part] for part in row.pop("parts")]
    fields = _merged(content["defaults"], *parts, row)
    title = fields.pop("title").format(encoder=fields.pop("encoder"))
    unknown = set(fields) - {item.name for item in dataclasses.fields(Preset)} - {"normalization"}
    if unknown:
        raise ValueError(f"{source}: {name}: expected fields of a preset, found {sorted(unknown)}.")
    fields["data_set"] = data_sets[fields["data_set"]]
    fields["publication"] = Publication(**fields["publication"])
    return Preset(name=name, title=title, **_merged(_derived(fields), fields))


def _derived(fields: dict[str, Any]) -> dict[str, Any]:
    """What a preset need not say, because it follows from its task, its crop, its scale and its normalization."""
    crop, stride, scale = fields["crop"], fields.get("stride"), fields["scale"]
    model_type, task = fields.get("model_type", fields["family"]), fields.get("task", "segmentation")
    config: dict[str, Any] = {"image_size": [crop, crop]}
    if task == "segmentation":
        config["sliding_window"] = {"crop_size": [crop] * 2, "stride": [stride] * 2}
    else:
        config["architectures"] = [getattr(get_architecture(model_type), _TASKS[task]).__name__]
    limit = {"longest_edge": max(scale)} if len(scale) > 1 else {}
    return {
        "model_type": model_type,
        "config": config,
        "image_processor": {
            "size": {"shortest_edge": min(scale), **limit},
            **_NORMALIZATIONS[fields.pop("normalization")],
        },
    }


def _merged(*mappings: Mapping[str, Any]) -> dict[str, Any]:
    """The mappings one over the other; nested ones are merged likewise, other values replaced."""
    result: dict[str, Any] = {}
    for mapping in mappings:
        for key, value in mapping.items():
            both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
            result[key] = _merged(result[key], value) if both else value
    return result


__all__ = ["DataSet", "Preset", "Publication", "create_model", "get_preset", "list_presets"]
