"""Which preset a file is of: the one that was asked for, or its sibling with other names or another class count."""

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.presets import Preset, get_preset, list_presets


def preset_for_classes(preset: Preset, num_classes: int | None) -> Preset:
    """The preset of the same file that has the number of classes found in it.

    Args:
        preset: The preset that was asked for.
        num_classes: Counted in the file; `None` if it has no class queries (the conversion will say what it is).

    Raises:
        ConversionError: No preset of this file has that many classes.
    """
    if num_classes in (None, preset.num_labels):
        return preset
    family = [other for other in map(get_preset, list_presets()) if other.family == preset.family]
    siblings = [other for other in family if (other.url, other.file) == (preset.url, preset.file)]
    for other in siblings:
        if other.num_labels == num_classes:
            return other
    expected = " or ".join(str(other.num_labels) for other in siblings)
    fitting = ", ".join(other.name for other in family if other.num_labels == num_classes)
    advice = f" Presets with {num_classes} classes: {fitting}." if fitting else ""
    raise ConversionError(
        f"Preset {preset.name}: expected a file with {expected} classes ({preset.file}), found {num_classes}.{advice}"
    )


def preset_for_naming(preset: Preset, naming: str) -> Preset:
    """The preset of the same model whose file has the names that were found.

    Raises:
        ConversionError: There is none.
    """
    if preset.naming == naming:
        return preset
    for other in map(get_preset, list_presets()):
        if other.naming == naming and (other.same_model_as == preset.name or preset.same_model_as == other.name):
            return other
    raise ConversionError(
        f"Preset {preset.name}: expected a file with the naming {preset.naming!r}, found {naming!r}. Convert a file "
        "of your own with --family and --config."
    )


__all__ = ["preset_for_classes", "preset_for_naming"]
