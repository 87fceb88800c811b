"""Class names and colors that an original configuration brings."""

from collections.abc import Mapping
from typing import Any

from segvit_hf.conversion.errors import ConversionError


def label_fields(original: Mapping[str, Any], num_labels: int) -> dict[str, Any]:
    """Fields of a configuration for the optional keys `classes` and `palette` of an original configuration.

    Returns:
        `id2label` and `label2id` where there are class names, else `num_labels`; `palette` as a list of `[red, green,
        blue]` where there is one.

    Raises:
        ConversionError: If there are not as many names or colors as classes.
    """
    fields: dict[str, Any] = {}
    classes = original.get("classes")
    if classes is None:
        fields["num_labels"] = num_labels
    else:
        if len(classes) != num_labels:
            raise ConversionError(f"classes: expected {num_labels} names, one per class, found {len(classes)}.")
        fields["id2label"] = dict(enumerate(map(str, classes)))
        fields["label2id"] = {name: index for index, name in fields["id2label"].items()}
    palette = original.get("palette")
    if palette is not None:
        colors = [[int(value) for value in color] for color in palette]
        if len(colors) != num_labels or any(len(color) != 3 for color in colors):
            raise ConversionError(
                f"palette: expected {num_labels} colors (red, green, blue), one per class, found {len(colors)}."
            )
        fields["palette"] = colors
    return fields


__all__ = ["label_fields"]
