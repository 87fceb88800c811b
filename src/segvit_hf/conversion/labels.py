"""Class names and colors that an original configuration brings."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.messages import listed, quoted

_LONGEST_NAME = 200


def label_fields(original: Mapping[str, Any], num_labels: int) -> dict[str, Any]:
    """Fields of a configuration for the optional keys `classes` and `palette` of an original configuration.

    Returns:
        `id2label` and `label2id` where there are class names, else `num_labels`; `palette` as a list of `[red, green,
        blue]` where there is one.

    Raises:
        ConversionError: If there are not as many names or colors as classes, a name is no text, empty, longer than 200
            letters, repeated or not printable, or a color is not three whole numbers from 0 to 255.
    """
    fields: dict[str, Any] = {}
    classes = original.get("classes")
    if classes is None:
        fields["num_labels"] = num_labels
    else:
        fields["id2label"] = dict(enumerate(_class_names(classes, num_labels)))
        fields["label2id"] = {name: index for index, name in fields["id2label"].items()}
    if original.get("palette") is not None:
        fields["palette"] = _colors(original["palette"], num_labels)
    return fields


def reduces_labels(original: Mapping[str, Any], *, default: bool) -> bool:
    """The optional key `reduce_zero_label` of an original configuration.

    Raises:
        ConversionError: If it is not true or false.
    """
    value = original.get("reduce_zero_label", default)
    if not isinstance(value, bool):
        raise ConversionError(f"reduce_zero_label: expected true or false, found {quoted(value)}.")
    return value


def _class_names(classes: Any, num_labels: int) -> list[str]:
    if not isinstance(classes, (list, tuple)):
        raise ConversionError(f"classes: expected a list of {num_labels} names, found {quoted(classes)}.")
    if len(classes) != num_labels:
        raise ConversionError(f"classes: expected {num_labels} names, one per class, found {len(classes)}.")
    wrong = [name for name in classes if not _is_name(name)]
    if wrong:
        raise ConversionError(
            f"classes: expected names of 1 to {_LONGEST_NAME} printable letters, found {listed(map(quoted, wrong))}."
        )
    repeated = [name for name, count in Counter(classes).items() if count > 1]
    if repeated:
        raise ConversionError(f"classes: expected every name once, found several of {listed(map(quoted, repeated))}.")
    return list(classes)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME and value.isprintable()


def _colors(palette: Any, num_labels: int) -> list[list[int]]:
    colors = _nested_list(palette)
    if not isinstance(colors, list) or len(colors) != num_labels:
        found = len(colors) if isinstance(colors, list) else quoted(palette)
        raise ConversionError(
            f"palette: expected {num_labels} colors (red, green, blue), one per class, found {found}."
        )
    wrong = [color for color in colors if not _is_color(color)]
    if wrong:
        raise ConversionError(
            f"palette: expected three whole numbers from 0 to 255 for each color, found {listed(map(quoted, wrong))}."
        )
    return colors


def _nested_list(value: Any) -> Any:
    """Tuples, and the arrays of drawn palettes that mmcv's files hold, as lists."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    return [_nested_list(item) for item in value] if isinstance(value, (list, tuple)) else value


def _is_color(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(type(c) is int and 0 <= c <= 255 for c in value)


__all__ = ["label_fields", "reduces_labels"]
