"""Which classes come when, and what keeps the older ones: the YAML file after `--continual`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from segvit_hf.data.label_sets import LabelSet
from segvit_hf.training.recipe import Recipe
from segvit_hf.training.recipe_parsing import RecipeError, read_yaml, set_field
from segvit_hf.training.typed_mappings import build_dataclass, plain_values

_NAMED_SPLIT = re.compile(r"(\d+)-(\d+)")
Method = Literal["frozen", "distilled", "finetuned"]
Setting = Literal["overlapped", "disjoint"]


@dataclass(frozen=True)
class DistillationRecipe:
    """How strongly older classes are held by what earlier models say of them (CIT's settings).

    Attributes:
        class_factor: Weight of the class logits' part.
        mask_factor: Weight of the masks' part.
        temperature: Factor of the teachers' logits.
    """

    class_factor: float = 5.0
    mask_factor: float = 10.0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        for name in ("class_factor", "mask_factor", "temperature"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: expected 0 or more, found {getattr(self, name)}.")


@dataclass(frozen=True)
class ContinualPlan:
    """The steps of continual training.

    Attributes:
        steps: The classes of each step, by name or by id among the classes of the data; or `"100-50"`: the first 100
            classes, then 50 at a time, to the last one. Their order is that of the model's ids. Classes that are in no
            step are ignored.
        method: `frozen`: the new classes' queries and decoder layers are trained and nothing else, so that older
            classes keep their scores. `distilled`: the decoder is trained, and held by copies of its earlier self
            (CIT; SegViTv2's head only). `finetuned`: everything is trained, and older classes are forgotten.
        setting: `overlapped`: a step trains on photos with at least one of its classes. `disjoint`: and with none of a
            later step's. Labels outside the step are ignored in both.
        share_decoder: Whether new classes pass the first step's decoder layers; by default not if `frozen`.
        distillation: For `distilled`.
        later_steps: Recipe fields, by dotted key, that differ after the first step.
    """

    steps: str | tuple[tuple[str | int, ...], ...]
    method: Method
    setting: Setting = "overlapped"
    share_decoder: bool | None = None
    distillation: DistillationRecipe = field(default_factory=DistillationRecipe)
    later_steps: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.method == "distilled" and self.share_decoder is False:
            raise ValueError("share_decoder: expected true or null, for distillation trains one decoder, found false.")

    @property
    def shares_decoder(self) -> bool:
        """`share_decoder`, or its default."""
        return self.method != "frozen" if self.share_decoder is None else self.share_decoder

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as YAML and JSON can write them."""
        return plain_values(self)


def load_plan(path: str | Path, method: str | None = None) -> ContinualPlan:
    """Reads a plan.

    Args:
        path: The YAML file.
        method: Instead of that of the file.

    Raises:
        RecipeError: There is no such file, a key is unknown or missing, or a value is impossible, which is named.
    """
    values = read_yaml(path)
    if method is not None:
        values["method"] = method
    return build_dataclass(ContinualPlan, values, source=str(path))


def step_classes(plan: ContinualPlan, label_set: LabelSet) -> list[list[int]]:
    """Ids, among the classes of the data, of each step's classes, in the order of the model's ids.

    Raises:
        RecipeError: A class is unknown or stands twice, a step is empty, or a named split does not come out even.
    """
    if isinstance(plan.steps, str):
        return _named_split(plan.steps, label_set.num_labels)
    steps = [[_class_id(entry, label_set) for entry in step] for step in plan.steps]
    together = [class_id for step in steps for class_id in step]
    repeated = sorted({label_set.classes[class_id] for class_id in together if together.count(class_id) > 1})
    if repeated:
        raise RecipeError(f"steps: expected every class in one step, found {', '.join(repeated)} several times.")
    if len(steps) < 2 or not all(steps):
        raise RecipeError(f"steps: expected at least two steps, each with a class, found {[len(s) for s in steps]}.")
    return steps


def later_recipe(recipe: Recipe, plan: ContinualPlan) -> Recipe:
    """The recipe of the steps after the first."""
    values = recipe.to_dict()
    for key, value in plan.later_steps.items():
        set_field(values, key, value)
    return build_dataclass(Recipe, values, source="later_steps")


def _named_split(name: str, num_classes: int) -> list[list[int]]:
    match = _NAMED_SPLIT.fullmatch(name)
    first, increment = (int(match[1]), int(match[2])) if match else (0, 0)
    if not (0 < first < num_classes and increment > 0 and (num_classes - first) % increment == 0):
        raise RecipeError(
            f"steps: expected lists of classes, or FIRST-INCREMENT that comes out even for {num_classes} classes (as "
            f"100-50 does for 150), found {name!r}."
        )
    starts = range(first, num_classes, increment)
    return [list(range(first)), *(list(range(start, start + increment)) for start in starts)]


def _class_id(entry: str | int, label_set: LabelSet) -> int:
    if isinstance(entry, int) and 0 <= entry < label_set.num_labels:
        return entry
    if isinstance(entry, str) and entry in label_set.label2id:
        return label_set.label2id[entry]
    raise RecipeError(
        f"steps: expected a class of the data ({label_set.num_labels}, {_some(label_set.classes)}) or its id, found "
        f"{entry!r}."
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


__all__ = [
    "ContinualPlan",
    "DistillationRecipe",
    "Method",
    "Setting",
    "later_recipe",
    "load_plan",
    "step_classes",
]
