"""Classes that are added to a trained model: each step's queries are a group of their own (continual segmentation).

A group has parameters of its own and runs by itself, so that with everything else frozen the scores of older classes
stay what they were, bit for bit: no matrix product holds rows of two groups (one product over more rows may round
differently), and an optimizer that doesn't know a parameter can't decay it.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn

from segvit_hf._compat import strict
from segvit_hf.models.configuration import SemanticSegmentationConfig, filled
from segvit_hf.models.losses import check_ignore_index
from segvit_hf.models.semantic_segmentation import SemanticSegmentationModel


@strict
class ClassGroupsConfig(SemanticSegmentationConfig):
    r"""How a model's classes were learned one step after the other; mixed in before an encoder's configuration.

    Args:
        added_class_counts (`list[int]`, *optional*):
            Number of classes that each later step has added (`add_classes`); the remaining ones, whose ids are the
            first, are those of the first step. Empty by default: all classes were learned together.
        share_decoder (`bool`, defaults to `False`):
            Whether added classes pass the decoder layers of the first step's, instead of copies of their own.
    """

    added_class_counts: list[int] | tuple[int, ...] = ()
    share_decoder: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        self.added_class_counts = list(self.added_class_counts)
        super().__post_init__(**kwargs)

    def validate_architecture(self) -> None:
        """Part of `@strict` validation: counts that no steps can have are an error that names them."""
        super().validate_architecture()
        if any(count < 1 for count in self.added_class_counts):
            raise ValueError(f"added_class_counts: expected numbers of classes, found {self.added_class_counts}.")

    @property
    def class_counts(self) -> list[int]:
        """Number of classes of each step, the first included."""
        return [filled(self.num_labels) - sum(self.added_class_counts), *self.added_class_counts]


def class_ranges(config: ClassGroupsConfig) -> list[range]:
    """Class ids of each step, in order.

    Raises:
        ValueError: The later steps have all classes, and the first has none.
    """
    counts = config.class_counts
    if counts[0] < 1:
        raise ValueError(
            f"added_class_counts: expected fewer than num_labels = {config.num_labels} classes in all, found "
            f"{config.added_class_counts}."
        )
    starts = [sum(counts[:step]) for step in range(len(counts))]
    return [range(start, start + count) for start, count in zip(starts, counts, strict=True)]


class ClassGroupsModel(SemanticSegmentationModel):
    """A model whose decoder has class queries, to which classes can be added.

    Such a decoder has `add_group()`, which appends a group for the configuration's last step and returns it,
    `copy_newest_layers()`, which starts it from the group before it, and `newest_group()`.
    """

    # How many classes a step must have at least.
    smallest_group = 1

    decoder: Any

    def train(self, mode: bool = True) -> "ClassGroupsModel":
        """Training mode; after classes were added, modules that are frozen altogether stay in eval mode.

        What a frozen encoder gives a decoder in training is then what it gives afterwards, without dropout.
        """
        super().train(mode)
        if mode and self.config.added_class_counts:
            for module in fully_frozen_modules(self):
                module.eval()
        return self

    def add_classes(self, names: Sequence[str], *, share_decoder: bool | None = None) -> None:
        """Adds classes, in place. Older ones keep their ids and, in eval mode, their scores, bit for bit.

        The new classes get the ids after the last one, queries at random, and copies of the newest decoder layers (or
        the first step's own). Their scores stay untrained until the model is trained; `freeze_older_classes` keeps
        everything else as it is. The configuration's `palette` is removed, since it has no colors for them.

        Args:
            names: Of the new classes, none of which the model has.
            share_decoder: Whether the new classes pass the decoder layers of the first step's; by default as
                those that were added before, at first not. All groups are alike in this.

        Raises:
            TypeError: `names` are no texts.
            ValueError: There are too few names, one stands twice or is a class already, the decoder has no class
                queries, or older groups share their layers and the new one should not, or the reverse.
        """
        names = self._checked_names(names)
        config = self.config
        share = config.share_decoder if share_decoder is None else share_decoder
        if config.added_class_counts and share != config.share_decoder:
            raise ValueError(
                f"share_decoder: expected {config.share_decoder} as for the classes that were added "
                f"before, found {share}."
            )
        check_ignore_index(config.semantic_loss_ignore_index, config.num_labels + len(names))
        labels = [*(config.id2label[index] for index in range(config.num_labels)), *names]
        config.id2label = dict(enumerate(labels))
        config.label2id = {name: index for index, name in enumerate(labels)}
        config.added_class_counts = [*config.added_class_counts, len(names)]
        config.share_decoder = share
        if getattr(config, "palette", None) is not None:
            config.palette = None
        self.extend_decoder()

    def extend_decoder(self) -> None:
        """Makes the group of the step that the configuration ends with."""
        like = next(self.decoder.parameters())
        group = self.decoder.add_group()
        group.apply(self._init_weights)
        self.decoder.copy_newest_layers()
        group.to(device=like.device, dtype=like.dtype).train(self.training)

    def freeze_older_classes(self) -> list[str]:
        """Freezes everything but the newest group; returns the names of the parameters that stay trainable.

        Frozen parameters must be out of the optimizer, which otherwise decays them: build it afterwards, from those
        that require gradients.

        Raises:
            ValueError: No classes were added.
        """
        if not self.config.added_class_counts:
            raise ValueError("freeze_older_classes: expected a model with added classes, found one step only.")
        self.requires_grad_(False)
        self.decoder.newest_group().requires_grad_(True)
        return [name for name, parameter in self.named_parameters() if parameter.requires_grad]

    def _checked_names(self, names: Sequence[str]) -> list[str]:
        if isinstance(names, str) or not all(isinstance(name, str) and name for name in names):
            raise TypeError(f"names: expected a list of class names, found {names!r}.")
        names = list(names)
        if not hasattr(self.decoder, "add_group"):
            raise ValueError(
                f"add_classes: expected a decoder with class queries, found decoder_type = "
                f"{self.config.decoder_type!r}."
            )
        if len(names) < self.smallest_group:
            raise ValueError(f"names: expected at least {self.smallest_group}, found {len(names)}.")
        repeated = sorted({name for name in names if names.count(name) > 1 or name in self.config.label2id})
        if repeated:
            raise ValueError(f"names: expected classes that the model does not have, each once, found {repeated}.")
        return names


def fully_frozen_modules(model: nn.Module) -> Iterator[nn.Module]:
    """The outermost modules that have parameters, all of them frozen."""
    parameters = list(model.parameters())
    if parameters and not any(parameter.requires_grad for parameter in parameters):
        yield model
        return
    for child in model.children():
        yield from fully_frozen_modules(child)


__all__ = ["ClassGroupsConfig", "ClassGroupsModel", "class_ranges", "fully_frozen_modules"]
