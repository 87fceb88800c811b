"""What a training run is made of, as typed dataclasses: the fields of `training/recipes/*.yaml`.

A recipe names everything that decides the result (model, image processor, data, augmentation, batch, optimizer,
schedule, seed) and how the run is watched (evaluation, checkpoints, logging). Nothing in the training loop knows an
architecture: what differs between SegViT, Segmenter, SETR and ViT-Adapter stands here.
"""

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from segvit_hf.training.recipe_parsing import RecipeError, apply_override, build_dataclass, read_yaml, set_field


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


@dataclass(frozen=True)
class ModelRecipe:
    """`type`: a model type of the Auto classes, for example `segvit`. `config`: fields of its configuration; the
    class names come from the data. `init`: folder or Hub name of a model to start from (its weights must fit
    `config`; layers that depend on the number of classes start anew when it differs). `encoder_weights`: ImageNet
    weights for the encoder, a timm name or a local file. At most one of the two; neither means from scratch.
    """

    type: str
    config: dict[str, Any] = field(default_factory=dict)
    init: str | None = None
    encoder_weights: str | None = None

    def __post_init__(self) -> None:
        for name in ("num_labels", "id2label", "label2id"):
            _check(
                name not in self.config, f"config.{name}: not a recipe field, the class list of the data decides it"
            )
        _check(
            self.init is None or self.encoder_weights is None,
            f"init: expected init or encoder_weights, found both ({self.init!r}, {self.encoder_weights!r})",
        )


@dataclass(frozen=True)
class DataSource:
    """Pictures with label maps: two folders (`images`, `annotations`; files are paired by name without ending and
    without `image_suffix` / `annotation_suffix`), optionally only the names in the text file `list_file`; or
    `dataset`, a data set of the `datasets` library (Hub name, or a local folder) with its `split` and the columns
    that hold picture and label map. Relative paths start at `data.root`.
    """

    images: str | None = None
    annotations: str | None = None
    image_suffix: str = ""
    annotation_suffix: str = ""
    list_file: str | None = None
    dataset: str | None = None
    split: str | None = None
    image_column: str = "image"
    annotation_column: str = "annotation"

    def __post_init__(self) -> None:
        folders = self.images is not None or self.annotations is not None
        _check(
            folders != (self.dataset is not None),
            f"images: expected two folders (images and annotations) or a dataset, found images={self.images!r}, "
            f"annotations={self.annotations!r}, dataset={self.dataset!r}",
        )
        if folders:
            _check(self.images is not None, "images: missing, annotations is given")
            _check(self.annotations is not None, "annotations: missing, images is given")


@dataclass(frozen=True)
class AugmentationRecipe:
    """mmseg's training pipeline: fit into `size` [long side, short side] (null: the picture's own size) times a random
    factor of `scale_range`, random crop `[height, width]` whose most frequent class covers at most
    `cat_max_ratio`, flip, photometric distortion.
    """

    crop_size: tuple[int, int]
    size: tuple[int, int] | None = None
    scale_range: tuple[float, float] | None = (0.5, 2.0)
    cat_max_ratio: float = 0.75
    flip_probability: float = 0.5
    photometric_distortion: bool = True

    def __post_init__(self) -> None:
        if self.scale_range is not None:
            low, high = self.scale_range
            _check(0 < low <= high, f"scale_range: expected 0 < low <= high, found {list(self.scale_range)}")
        _check(min(self.crop_size) > 0, f"crop_size: expected positive pixels, found {list(self.crop_size)}")
        _check(0 < self.cat_max_ratio <= 1, f"cat_max_ratio: expected a share in (0, 1], found {self.cat_max_ratio}")
        _check(0 <= self.flip_probability <= 1, f"flip_probability: expected 0 to 1, found {self.flip_probability}")


@dataclass(frozen=True)
class DataRecipe:
    """Where the data are: `layout`, a data set of `segvit_hf.data.LAYOUTS` below `root`; or `train` and
    `validation`. What the classes are: `label_set`, a name of `segvit_hf.data.label_sets` (by default the
    layout's); or `classes`, a file with one class name a line. `reduce_zero_label`: whether id 0 of the stored
    maps means "ignore" and the others move down by one; by default what the label set says, no with a class file.
    `workers`: loader processes of each training process. `label_check_samples`: how many label maps are read
    before training starts, to find maps that do not fit the class list.
    """

    augmentation: AugmentationRecipe
    root: str | None = None
    layout: str | None = None
    train: DataSource | None = None
    validation: DataSource | None = None
    label_set: str | None = None
    classes: str | None = None
    reduce_zero_label: bool | None = None
    workers: int = 4
    label_check_samples: int = 50

    def __post_init__(self) -> None:
        _check(
            self.layout is None or (self.train is None and self.validation is None),
            f"layout: expected layout or train and validation, found both ({self.layout!r})",
        )
        _check(
            self.layout is None or self.root is not None,
            "root: missing (--data-root), the layout's folders start there",
        )
        _check(
            self.label_set is None or self.classes is None,
            f"classes: expected label_set or classes, found both ({self.label_set!r}, {self.classes!r})",
        )
        _check(self.workers >= 0, f"workers: expected 0 or more, found {self.workers}")
        _check(
            self.label_check_samples >= 0, f"label_check_samples: expected 0 or more, found {self.label_check_samples}"
        )


@dataclass(frozen=True)
class BatchRecipe:
    """`effective_size`: pictures per optimizer step, all processes and accumulation together. `per_device_size`:
    pictures one device takes at a time. The number of accumulated batches follows from the number of processes, so
    the same recipe trains alike on 1 or 8 devices.
    """

    effective_size: int
    per_device_size: int

    def __post_init__(self) -> None:
        _check(self.effective_size > 0, f"effective_size: expected 1 or more, found {self.effective_size}")
        _check(self.per_device_size > 0, f"per_device_size: expected 1 or more, found {self.per_device_size}")

    def accumulation_steps(self, num_processes: int) -> int:
        """Batches each process adds up before an optimizer step.

        Raises:
            RecipeError: the effective size is not a multiple of `per_device_size * num_processes`.
        """
        at_once = self.per_device_size * num_processes
        if self.effective_size % at_once:
            fitting = max(1, self.effective_size // at_once) * at_once
            raise RecipeError(
                "batch: expected effective_size to be a multiple of per_device_size x processes, found "
                f"{self.effective_size} and {self.per_device_size} x {num_processes} = {at_once}; change one of them, "
                f"for example --effective-batch-size {fitting}"
            )
        return self.effective_size // at_once


@dataclass(frozen=True)
class ParameterGroupRule:
    """Parameters whose name the regular expression `match` is found in learn with `learning_rate * lr_multiplier` and
    decay with `weight_decay * weight_decay_multiplier`. The first rule that matches decides.
    """

    match: str
    lr_multiplier: float = 1.0
    weight_decay_multiplier: float = 1.0

    def __post_init__(self) -> None:
        try:
            re.compile(self.match)
        except re.error as error:
            raise ValueError(f"match: expected a regular expression, found {self.match!r} ({error})") from error
        _check(self.lr_multiplier > 0, f"lr_multiplier: expected a positive number, found {self.lr_multiplier}")
        _check(
            self.weight_decay_multiplier >= 0,
            f"weight_decay_multiplier: expected 0 or more, found {self.weight_decay_multiplier}",
        )


@dataclass(frozen=True)
class LayerDecayRecipe:
    """Layer-wise learning-rate decay: the last layers learn fastest, each earlier one `rate` times the next.

    The encoder's embeddings, and parameters whose name one of the regular expressions `as_embeddings` is found in,
    learn with `rate ** (number of encoder layers + 1)`; layer i, counted from 0, has an exponent i + 1 lower; every
    other parameter learns with the full rate.
    """

    rate: float
    as_embeddings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check(0 < self.rate <= 1, f"rate: expected a number above 0 and at most 1, found {self.rate}")
        for pattern in self.as_embeddings:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"as_embeddings: expected a regular expression, found {pattern!r}") from error


@dataclass(frozen=True)
class OptimizerRecipe:
    """`betas` and `epsilon` are AdamW's, `momentum` and `nesterov` are SGD's. `max_gradient_norm`: clip the
    total L2 norm. `decay_vectors`: whether weight decay acts on one-dimensional parameters (biases, factors of norms
    and of layer scale). The multipliers of `layer_decay`, `decay_vectors` and `parameter_groups` are multiplied.
    """

    name: Literal["adamw", "sgd"]
    learning_rate: float
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    momentum: float = 0.9
    nesterov: bool = False
    max_gradient_norm: float | None = None
    parameter_groups: tuple[ParameterGroupRule, ...] = ()
    layer_decay: LayerDecayRecipe | None = None
    decay_vectors: bool = True

    def __post_init__(self) -> None:
        _check(self.learning_rate > 0, f"learning_rate: expected a positive number, found {self.learning_rate}")
        _check(self.weight_decay >= 0, f"weight_decay: expected 0 or more, found {self.weight_decay}")
        _check(0 <= self.momentum < 1, f"momentum: expected a number in [0, 1), found {self.momentum}")
        _check(not self.nesterov or self.momentum > 0, "nesterov: expected a momentum above 0 with it, found 0")
        _check(all(0 <= beta < 1 for beta in self.betas), f"betas: expected two numbers in [0, 1), found {self.betas}")
        _check(
            self.max_gradient_norm is None or self.max_gradient_norm > 0,
            f"max_gradient_norm: expected a positive number or null, found {self.max_gradient_norm}",
        )


@dataclass(frozen=True)
class ScheduleRecipe:
    """Polynomial decay to `minimum_learning_rate` over `max_steps` optimizer steps, with linear warm-up."""

    max_steps: int
    power: float = 1.0
    minimum_learning_rate: float = 0.0
    warmup_steps: int = 0
    warmup_ratio: float = 1e-6

    def __post_init__(self) -> None:
        _check(self.max_steps > 0, f"max_steps: expected 1 or more, found {self.max_steps}")
        _check(self.power >= 0, f"power: expected 0 or more, found {self.power}")
        _check(self.warmup_steps >= 0, f"warmup_steps: expected 0 or more, found {self.warmup_steps}")
        _check(0 <= self.warmup_ratio <= 1, f"warmup_ratio: expected 0 to 1, found {self.warmup_ratio}")
        _check(
            self.minimum_learning_rate >= 0,
            f"minimum_learning_rate: expected 0 or more, found {self.minimum_learning_rate}",
        )


@dataclass(frozen=True)
class RuntimeRecipe:
    """How the model runs. `mixed_precision`: null leaves it to the launcher (`accelerate launch --mixed_precision`).
    `find_unused_parameters` is needed with several processes when a loss does not reach every parameter.
    """

    seed: int = 0
    mixed_precision: Literal["no", "fp16", "bf16"] | None = None
    gradient_checkpointing: bool = False
    find_unused_parameters: bool = False


@dataclass(frozen=True)
class EvaluationRecipe:
    """Evaluate every `every_steps` steps (null: after the last only), `batch_size` pictures at a time per process.
    `keep_best`: save the model with the best mIoU so far as `best_model`.
    """

    every_steps: int | None = None
    batch_size: int = 1
    keep_best: bool = True

    def __post_init__(self) -> None:
        _check(
            self.every_steps is None or self.every_steps > 0,
            f"every_steps: expected 1 or more, found {self.every_steps}",
        )
        _check(self.batch_size > 0, f"batch_size: expected 1 or more, found {self.batch_size}")


@dataclass(frozen=True)
class CheckpointRecipe:
    """Save everything a resumed run needs every `every_steps` steps (null: never); keep the `keep_last` newest."""

    every_steps: int | None = None
    keep_last: int = 2

    def __post_init__(self) -> None:
        _check(
            self.every_steps is None or self.every_steps > 0,
            f"every_steps: expected 1 or more, found {self.every_steps}",
        )
        _check(self.keep_last > 0, f"keep_last: expected 1 or more, found {self.keep_last}")


@dataclass(frozen=True)
class LoggingRecipe:
    """Log the loss parts and learning rates every `every_steps` steps, to a JSON-lines file and to TensorBoard."""

    every_steps: int = 50
    tensorboard: bool = True

    def __post_init__(self) -> None:
        _check(self.every_steps > 0, f"every_steps: expected 1 or more, found {self.every_steps}")


@dataclass(frozen=True)
class Recipe:
    """A whole training run. `image_processor`: fields of the model type's image processor."""

    model: ModelRecipe
    data: DataRecipe
    batch: BatchRecipe
    optimizer: OptimizerRecipe
    schedule: ScheduleRecipe
    image_processor: dict[str, Any] = field(default_factory=dict)
    runtime: RuntimeRecipe = field(default_factory=RuntimeRecipe)
    evaluation: EvaluationRecipe = field(default_factory=EvaluationRecipe)
    checkpoint: CheckpointRecipe = field(default_factory=CheckpointRecipe)
    logging: LoggingRecipe = field(default_factory=LoggingRecipe)

    def __post_init__(self) -> None:
        _check(
            "do_reduce_labels" not in self.image_processor,
            "image_processor.do_reduce_labels: not a recipe field, data.reduce_zero_label or the label set decides it",
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain nested mappings and lists, as written into the output folder."""
        return _plain(dataclasses.asdict(self))


def load_recipe(path: str | Path, overrides: Sequence[str] = (), fields: dict[str, Any] | None = None) -> Recipe:
    """Read a recipe.

    Args:
        path: YAML file.
        overrides: `section.field=value` texts, applied in order; values are YAML.
        fields: dotted key -> value, applied before `overrides`.

    Raises:
        RecipeError: an unknown or missing key, a wrong type or an impossible value; the message names the file (or
            `--set`), the key, what was expected and what was found.
    """
    values = read_yaml(path)
    for key, value in (fields or {}).items():
        set_field(values, key, value)
    for assignment in overrides:
        apply_override(values, assignment)
    return build_dataclass(Recipe, values, source=str(path))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
