"""Names and colors of the classes of the usual data sets, and reading them from a file."""

import json
from collections import Counter
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

Color = tuple[int, int, int]

# name: (module under official_labels, without its first class "background", reduce_zero_label)
_OFFICIAL: dict[str, tuple[str, bool, bool]] = {
    "ade20k": ("ade20k", False, True),
    "cityscapes": ("cityscapes", False, False),
    "pascal_context": ("pascal_context", False, False),
    "pascal_context_59": ("pascal_context", True, True),
    "pascal_context_voc": ("pascal_context_voc", False, False),
    "pascal_voc": ("pascal_voc", False, False),
    "coco_stuff_10k": ("coco_stuff", False, True),
    "coco_stuff_164k": ("coco_stuff", False, False),
}
# Of data sets without label maps: torchvision has their names.
_CATEGORIES = {
    "imagenet": ("torchvision.models", "ResNet18_Weights", "IMAGENET1K_V1"),
    "coco_detection": ("torchvision.models.detection", "RetinaNet_ResNet50_FPN_Weights", "COCO_V1"),
}
_NO_CATEGORIES = ("__background__", "N/A")


@dataclass(frozen=True)
class LabelSet:
    """The classes of a data set.

    Attributes:
        name: The data set's name.
        classes: Class names, in the order of the ids.
        palette: One (red, green, blue) of 0 to 255 for each class, or empty when no colors are known.
        reduce_zero_label: The data set's files hold 0 for "no class" and 1 to len(classes) for the classes.
    """

    name: str
    classes: tuple[str, ...]
    palette: tuple[Color, ...] = ()
    reduce_zero_label: bool = False

    def __post_init__(self) -> None:
        if not self.classes:
            raise ValueError(f"label set {self.name}: expected at least one class, found none.")
        if self.palette and len(self.palette) != len(self.classes):
            raise ValueError(
                f"label set {self.name}: expected a palette of {len(self.classes)} colors, found {len(self.palette)}."
            )

    @property
    def num_labels(self) -> int:
        """Number of classes."""
        return len(self.classes)

    @property
    def id2label(self) -> dict[int, str]:
        """Class id to name, as model configurations want it."""
        return dict(enumerate(self.classes))

    @property
    def label2id(self) -> dict[str, int]:
        """Class name to id."""
        return {name: index for index, name in enumerate(self.classes)}


def label_set_names() -> tuple[str, ...]:
    """The names of data sets with label maps that `get_label_set` knows."""
    return tuple(_OFFICIAL)


def get_label_set(name: str) -> LabelSet:
    """The classes and colors of a data set, by one of `label_set_names()`.

    Names, order and colors are MMSegmentation's. Note that its preparation of Pascal Context orders the classes
    alphabetically; `pascal_context_voc` has the 60 classes in the order of Segmenter's data instead. The classes of
    imagenet (1000) and coco_detection (80 objects) are known, too, without colors.

    Raises:
        ValueError: Unknown name; the message lists the known ones.
    """
    if name in _CATEGORIES:
        return LabelSet(name, _categories(*_CATEGORIES[name]))
    if name not in _OFFICIAL:
        raise ValueError(f"label set {name!r}: expected one of {', '.join(_OFFICIAL)}.")
    module, without_background, reduce_zero_label = _OFFICIAL[name]
    table = import_module(f"{__package__}.official_labels.{module}").TABLE
    classes, palette = _parse_lines(table.splitlines(), source=name)
    first = 1 if without_background else 0
    return LabelSet(name, tuple(classes[first:]), tuple(palette[first:]), reduce_zero_label)


def _categories(module: str, weights: str, entry: str) -> tuple[str, ...]:
    """The names that a model of torchvision was trained with, in the order of the data set's ids, without gaps."""
    names = getattr(import_module(module), weights)[entry].meta["categories"]
    return tuple(name for name in names if name not in _NO_CATEGORIES)


def read_class_list(path: str | Path, reduce_zero_label: bool = False) -> LabelSet:
    """Reads the classes of one's own data set; the file's name without its ending becomes the name of the label set.

    Args:
        path: A text file with one class a line, `name` or `name red green blue` (empty lines and lines that begin with
            `#` are skipped), or a `.json` file: a list of names, a list of {"name": ..., "color": [red, green, blue]},
            or {"0": name, "1": name, ...} as in a model's id2label.
        reduce_zero_label: What the label set says about the label maps. Default False.

    Raises:
        FileNotFoundError: No such file.
        ValueError: No classes, a name twice, colors for some classes only, or anything else that cannot be read; the
            message names the file and the line.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"class list {path}: expected a file, found none.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"class list {path}: expected UTF-8 text, found: {error}.") from error
    if path.suffix.lower() == ".json":
        classes, palette = _parse_json(text, path)
    else:
        classes, palette = _parse_lines(text.splitlines(), source=str(path))
    if not classes:
        raise ValueError(f"class list {path}: expected at least one class, found none.")
    odd = [name for name in classes if not name.strip() or not name.isprintable()]
    if odd:
        raise ValueError(f"class list {path}: expected names of printable characters, found {odd[0]!r}.")
    repeated = sorted(name for name, times in Counter(classes).items() if times > 1)
    if repeated:
        raise ValueError(f"class list {path}: expected distinct names, found more than once: {', '.join(repeated)}.")
    return LabelSet(path.stem, tuple(classes), tuple(palette), reduce_zero_label)


def _parse_lines(lines: list[str], source: str) -> tuple[list[str], list[Color]]:
    classes: list[str] = []
    palette: list[Color] = []
    for number, line in enumerate(lines, start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        words = line.split()
        colored = len(words) > 3 and all(word.isdigit() for word in words[-3:])
        if classes and colored != bool(palette):
            raise ValueError(
                f"{source}, line {number}: give a color (`name red green blue`) to every class or to none."
            )
        classes.append(" ".join(words[:-3] if colored else words))
        if colored:
            palette.append(_color([int(word) for word in words[-3:]], f"{source}, line {number}"))
    return classes, palette


def _parse_json(text: str, path: Path) -> tuple[list[str], list[Color]]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"class list {path}: expected valid JSON, found: {error}.") from error
    if isinstance(content, dict):
        missing = [index for index in range(len(content)) if str(index) not in content]
        if missing:
            raise ValueError(
                f"class list {path}: expected the ids 0 to {len(content) - 1} as keys; {missing[0]} is missing."
            )
        content = [content[str(index)] for index in range(len(content))]
    if isinstance(content, list) and all(isinstance(entry, str) for entry in content):
        return content, []
    if isinstance(content, list) and all(
        isinstance(entry, dict) and {"name", "color"} <= set(entry) for entry in content
    ):
        colors = [_color(entry["color"], f"{path}, class {entry['name']}") for entry in content]
        return [str(entry["name"]) for entry in content], colors
    raise ValueError(
        f'class list {path}: expected a list of names, a list of {{"name", "color"}} or an object of id to name.'
    )


def _color(values: object, where: str) -> Color:
    if not isinstance(values, list) or len(values) != 3 or not all(type(v) is int and 0 <= v <= 255 for v in values):
        raise ValueError(f"{where}: expected a color of three integers from 0 to 255, found {values}.")
    return values[0], values[1], values[2]
