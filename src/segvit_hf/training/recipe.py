"""What a training run is made of, as typed dataclasses: the fields of `training/recipes/*.yaml`.

A recipe names everything that decides the result (model, image processor, data, augmentation, batch, optimizer,
schedule, seed) and how the run is watched (evaluation, checkpoints, logging). Nothing in the training loop knows an
architecture: what differs between SegViT, Segmenter, SETR and ViT-Adapter stands here.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from segvit_hf.data.augmentations import TrainingAugmentation
from segvit_hf.training.recipe_files import find_recipe, read_based_yaml
from segvit_hf.training.recipe_parsing import RecipeError, apply_override, set_field
from segvit_hf.training.recipe_presets import resolve_preset
from segvit_hf.training.typed_mappings import build_dataclass, plain_values

# Checkpoints have room for so many digits.
LARGEST_STEP = 99_999_999
# numpy's seeds have 32 bits, and each process counts up.
_LARGEST_SEED = 2**31


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(f"{message}.")


def _check_expression(pattern: str, key: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{key}: expected a regular expression, found {pattern!r} ({error}).") from error


def _check_paths(recipe: Any, *names: str) -> None:
    """An empty text is the current folder to the file system, and to nobody who writes it."""
    for name in names:
        _check(getattr(recipe, name) != "", f"{name}: expected a path or null, found an empty text")


@dataclass(frozen=True)
class ModelRecipe:
    """Which model is trained, and from which weights: at most one of the three sources, or from scratch.

    Attributes:
        type: Model type of one of the package's architectures, for example `segvit`.
        config: Fields of its configuration; the class names come from the data.
        init: Folder or Hub name of a model to start from. Its weights must fit `config`; layers that depend on the
            number of classes start anew when it differs.
        encoder_weights: ImageNet weights for the encoder, a timm name or a local file.
        backbone: Folder, Hub name or `timm/<name>` of a pretrained backbone that becomes the encoder
            (`<Model>.from_backbone`). The image processor follows it.
        freeze_encoder: Whether the backbone is not trained. By default the configuration decides (only ViT-Adapter
            freezes it).
        lora_rank: Train low-rank adapters of this rank in the backbone's linear layers instead of its weights. Saved
            models have them added to the weights.
    """

    type: str
    config: dict[str, Any] = field(default_factory=dict)
    init: str | None = None
    encoder_weights: str | None = None
    backbone: str | None = None
    freeze_encoder: bool | None = None
    lora_rank: int | None = None

    def __post_init__(self) -> None:
        for name in ("num_labels", "id2label", "label2id"):
            _check(
                name not in self.config,
                f"config.{name}: expected no such field, the class list of the data decides it; found "
                f"{self.config.get(name)!r}",
            )
        sources = {name: getattr(self, name) for name in ("init", "encoder_weights", "backbone")}
        given = {name: value for name, value in sources.items() if value is not None}
        _check(
            len(given) <= 1,
            f"{next(iter(given), '')}: expected one of init, encoder_weights and backbone, found {given}",
        )
        _check_paths(self, *sources)
        self._check_backbone()

    def _check_backbone(self) -> None:
        for name in ("backbone_config", "freeze_backbone"):
            other = {"backbone_config": "backbone", "freeze_backbone": "freeze_encoder"}[name]
            _check(
                name not in self.config or getattr(self, other) is None,
                f"{other}: expected it or config.{name}, found both",
            )
        _check(self.lora_rank is None or self.lora_rank > 0, f"lora_rank: expected 1 or more, found {self.lora_rank}")
        _check(
            self.lora_rank is None or not self.freeze_encoder,
            "lora_rank: expected freeze_encoder to be false or open with it, for adapters are trained, found true",
        )


@dataclass(frozen=True)
class DataSource:
    """Photos with label maps: two folders, or a data set of the `datasets` library.

    Attributes:
        images: Folder of photos. Like all relative paths, it starts at `data.root`.
        annotations: Folder of label maps, paired with the photos by name without ending and suffix.
        image_suffix: End of the photos' names that is not part of the pair's name.
        annotation_suffix: The same for the label maps.
        list_file: Text file with the names to use, one a line; all by default.
        dataset: Hub name, or local folder, of a data set of the `datasets` library.
        split: Its part.
        image_column: Its column of photos.
        annotation_column: Its column of label maps.
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
        _check_paths(self, "images", "annotations", "list_file", "dataset")


@dataclass(frozen=True)
class DataRecipe:
    """Where the data are, and what their classes are.

    Attributes:
        root: Folder at which relative paths and the layout start.
        layout: A data set of `segvit_hf.data.LAYOUTS` below `root`; or else `train` and `validation`.
        train: What is trained on.
        validation: What is evaluated on; nothing by default.
        label_set: A name of `segvit_hf.data.label_set_names()`; by default the layout's.
        classes: Instead of it, a file with one class name a line.
        reduce_zero_label: Whether id 0 of the stored maps means "no class" and the others move down by one. By default
            what the label set says, no with a class file.
        workers: Loader processes of each training process.
        label_check_samples: How many label maps are read before training starts, to find maps that do not fit the
            class list; 0 for none.
        skip_unreadable: Go on without photos that cannot be used (corrupt, label map of another size, wrong ids), and
            count them; by default the first one ends the run. In training another photo takes the place of each.
    """

    root: str | None = None
    layout: str | None = None
    train: DataSource | None = None
    validation: DataSource | None = None
    label_set: str | None = None
    classes: str | None = None
    reduce_zero_label: bool | None = None
    workers: int = 4
    label_check_samples: int = 50
    skip_unreadable: bool = False

    def __post_init__(self) -> None:
        _check(
            self.layout is None or (self.train is None and self.validation is None),
            f"layout: expected layout or train and validation, found both ({self.layout!r})",
        )
        _check(
            self.label_set is None or self.classes is None,
            f"classes: expected label_set or classes, found both ({self.label_set!r}, {self.classes!r})",
        )
        _check_paths(self, "root", "layout", "classes", "label_set")
        _check(self.workers >= 0, f"workers: expected 0 or more, found {self.workers}")
        _check(
            self.label_check_samples >= 0, f"label_check_samples: expected 0 or more, found {self.label_check_samples}"
        )


@dataclass(frozen=True)
class BatchRecipe:
    """How many photos make an optimizer step.

    The number of accumulated batches follows from the number of processes, so the same recipe trains alike on 1 or 8
    devices.

    Attributes:
        effective_size: Photos per optimizer step, all processes and accumulation together.
        per_device_size: Photos that one device takes at a time.
    """

    effective_size: int
    per_device_size: int

    def __post_init__(self) -> None:
        _check(self.effective_size > 0, f"effective_size: expected 1 or more, found {self.effective_size}")
        _check(self.per_device_size > 0, f"per_device_size: expected 1 or more, found {self.per_device_size}")

    def accumulation_steps(self, num_processes: int) -> int:
        """Batches each process adds up before an optimizer step.

        Raises:
            RecipeError: The effective size is not a multiple of `per_device_size * num_processes`.
        """
        at_once = self.per_device_size * num_processes
        if self.effective_size % at_once:
            fitting = max(1, self.effective_size // at_once) * at_once
            raise RecipeError(
                "batch: expected effective_size to be a multiple of per_device_size x processes, found "
                f"{self.effective_size} and {self.per_device_size} x {num_processes} = {at_once}; change one of them, "
                f"for example --effective-batch-size {fitting}."
            )
        return self.effective_size // at_once


@dataclass(frozen=True)
class ParameterGroupRule:
    """How some parameters learn. The first rule that matches a parameter decides.

    Attributes:
        match: Regular expression that is found in the names of the parameters (`re.search`).
        lr_multiplier: They learn with `learning_rate * lr_multiplier`.
        weight_decay_multiplier: They decay with `weight_decay * weight_decay_multiplier`.
    """

    match: str
    lr_multiplier: float = 1.0
    weight_decay_multiplier: float = 1.0

    def __post_init__(self) -> None:
        _check_expression(self.match, "match")
        _check(self.lr_multiplier > 0, f"lr_multiplier: expected a positive number, found {self.lr_multiplier}")
        _check(
            self.weight_decay_multiplier >= 0,
            f"weight_decay_multiplier: expected 0 or more, found {self.weight_decay_multiplier}",
        )


@dataclass(frozen=True)
class LayerDecayRecipe:
    """Layer-wise learning-rate decay: the last layers learn fastest, each earlier one `rate` times the next.

    The encoder's embeddings learn with `rate ** (number of encoder layers + 1)`; layer i, counted from 0, has an
    exponent i + 1 lower; every other parameter learns with the full rate.

    Attributes:
        rate: Factor from a layer to the one before it, above 0 and at most 1.
        as_embeddings: Regular expressions; parameters in whose names one is found learn like the embeddings.
    """

    rate: float
    as_embeddings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check(0 < self.rate <= 1, f"rate: expected a number above 0 and at most 1, found {self.rate}")
        for pattern in self.as_embeddings:
            _check_expression(pattern, "as_embeddings")


@dataclass(frozen=True)
class OptimizerRecipe:
    """The optimizer and its parameter groups.

    The multipliers of `layer_decay`, `decay_vectors` and `parameter_groups` are multiplied.

    Attributes:
        name: `adamw` or `sgd`.
        learning_rate: That of the schedule's beginning, before multipliers.
        weight_decay: Before multipliers.
        betas: AdamW's.
        epsilon: AdamW's.
        momentum: SGD's.
        nesterov: SGD's.
        max_gradient_norm: Clip the total L2 norm of the gradients; `None` for no clipping.
        parameter_groups: Rules in order.
        layer_decay: Layer-wise decay of the learning rate; none by default.
        decay_vectors: Whether weight decay acts on one-dimensional parameters (biases, factors of norms and of layer
            scale).
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
    """Polynomial decay of the learning rate over the run, with linear warm-up.

    Attributes:
        max_steps: Optimizer steps of the whole run.
        power: Exponent of the decay.
        minimum_learning_rate: What all parameter groups end at.
        warmup_steps: Optimizer steps of the warm-up.
        warmup_ratio: Share of the learning rate that the warm-up begins with.
    """

    max_steps: int
    power: float = 1.0
    minimum_learning_rate: float = 0.0
    warmup_steps: int = 0
    warmup_ratio: float = 1e-6

    def __post_init__(self) -> None:
        _check(0 < self.max_steps <= LARGEST_STEP, f"max_steps: expected 1 to {LARGEST_STEP}, found {self.max_steps}")
        _check(self.power >= 0, f"power: expected 0 or more, found {self.power}")
        _check(self.warmup_steps >= 0, f"warmup_steps: expected 0 or more, found {self.warmup_steps}")
        _check(
            self.warmup_steps <= self.max_steps,
            f"warmup_steps: expected at most max_steps, {self.max_steps}, found {self.warmup_steps}: the "
            "learning rate would never be reached",
        )
        _check(0 <= self.warmup_ratio <= 1, f"warmup_ratio: expected 0 to 1, found {self.warmup_ratio}")
        _check(
            self.minimum_learning_rate >= 0,
            f"minimum_learning_rate: expected 0 or more, found {self.minimum_learning_rate}",
        )


@dataclass(frozen=True)
class RuntimeRecipe:
    """How the model runs.

    Attributes:
        seed: Of all random numbers.
        mixed_precision: `no`, `fp16` or `bf16`; `None` leaves it to the launcher
            (`accelerate launch --mixed_precision`).
        gradient_checkpointing: Compute activations again in the backward pass instead of keeping them.
        find_unused_parameters: Needed with several processes when a loss does not reach every parameter.
    """

    seed: int = 0
    mixed_precision: Literal["no", "fp16", "bf16"] | None = None
    gradient_checkpointing: bool = False
    find_unused_parameters: bool = False

    def __post_init__(self) -> None:
        _check(0 <= self.seed <= _LARGEST_SEED, f"seed: expected 0 to {_LARGEST_SEED}, found {self.seed}")


@dataclass(frozen=True)
class EvaluationRecipe:
    """When and how the model is evaluated during training.

    Attributes:
        every_steps: Evaluate every so many steps; `None`: after the last only.
        batch_size: Photos at a time per process.
        keep_best: Save the model with the best mIoU so far as `best_model`.
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
    """When everything that a resumed run needs is saved.

    Attributes:
        every_steps: Save every so many steps; `None`: never.
        keep_last: How many of the newest checkpoints are kept.
    """

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
    """How the loss parts and learning rates are logged.

    Attributes:
        every_steps: Log every so many steps, to a JSON-lines file.
        tensorboard: Log to TensorBoard, too.
    """

    every_steps: int = 50
    tensorboard: bool = True

    def __post_init__(self) -> None:
        _check(self.every_steps > 0, f"every_steps: expected 1 or more, found {self.every_steps}")


# Facts that image processors share with the data and the model: image processor's field -> what decides it.
_SHARED_FIELDS = {
    "do_reduce_labels": "data.reduce_zero_label or the label set",
    "ignore_index": "model.config.semantic_loss_ignore_index",
}


@dataclass(frozen=True)
class Recipe:
    """A whole training run.

    Attributes:
        model: Which model, from which weights.
        data: Photos, label maps, classes.
        augmentation: Random changes of the training photos.
        batch: Photos per step.
        optimizer: Optimizer and parameter groups.
        schedule: Steps and learning rate.
        image_processor: Fields of the model type's image processor.
        runtime: Seed and precision.
        evaluation: When to evaluate.
        checkpoint: When to save.
        logging: When to log.
    """

    model: ModelRecipe
    data: DataRecipe
    augmentation: TrainingAugmentation
    batch: BatchRecipe
    optimizer: OptimizerRecipe
    schedule: ScheduleRecipe
    image_processor: dict[str, Any] = field(default_factory=dict)
    runtime: RuntimeRecipe = field(default_factory=RuntimeRecipe)
    evaluation: EvaluationRecipe = field(default_factory=EvaluationRecipe)
    checkpoint: CheckpointRecipe = field(default_factory=CheckpointRecipe)
    logging: LoggingRecipe = field(default_factory=LoggingRecipe)

    def __post_init__(self) -> None:
        for name, decisive in _SHARED_FIELDS.items():
            _check(
                name not in self.image_processor,
                f"image_processor.{name}: expected no such field, {decisive} decides it; found "
                f"{self.image_processor.get(name)!r}",
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain nested mappings and lists, as written into the output folder; `load_recipe` reads them again."""
        return plain_values(self)


def load_recipe(path: str | Path, overrides: Sequence[str] = (), fields: dict[str, Any] | None = None) -> Recipe:
    """Reads a recipe: its own values, over those of its `base`, over those of its `preset`.

    Args:
        path: YAML file, or the name of a recipe that is shipped with the package.
        overrides: `section.field=value` texts, applied in order; values are YAML.
        fields: Dotted key -> value, applied before `overrides`.

    Raises:
        RecipeError: There is no such recipe, an unknown or missing key, a wrong type or an impossible value; the
            message names the file (or `--set`), the key, what was expected and what was found.
    """
    path = find_recipe(path)
    values = resolve_preset(read_based_yaml(path), source=str(path))
    for key, value in (fields or {}).items():
        set_field(values, key, value)
    for assignment in overrides:
        apply_override(values, assignment)
    _refuse_old_place_of_augmentation(values, source=str(path))
    return build_dataclass(Recipe, values, source=str(path))


def _refuse_old_place_of_augmentation(values: Mapping[str, Any], source: str) -> None:
    data = values.get("data")
    if isinstance(data, Mapping) and "augmentation" in data:
        raise RecipeError(
            f"{source}: data.augmentation: expected it at the top of the recipe, as `augmentation:` beside `data:` "
            "(--set augmentation.FIELD=VALUE), found it in `data`."
        )
