"""The table of released checkpoints."""

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.released_checkpoint import Publication, ReleasedCheckpoint
from segvit_hf.conversion.released_segmenter import SEGMENTER_CHECKPOINTS
from segvit_hf.conversion.released_segmenter_mmseg import SEGMENTER_MMSEG_CHECKPOINTS
from segvit_hf.conversion.released_segvit import SEGVIT_CHECKPOINTS
from segvit_hf.conversion.released_setr import SETR_CHECKPOINTS
from segvit_hf.conversion.released_setr_mmseg import SETR_MMSEG_CHECKPOINTS
from segvit_hf.conversion.released_vit_adapter import VIT_ADAPTER_CHECKPOINTS

RELEASED_CHECKPOINTS: tuple[ReleasedCheckpoint, ...] = (
    *SEGVIT_CHECKPOINTS,
    *SEGMENTER_CHECKPOINTS,
    *SEGMENTER_MMSEG_CHECKPOINTS,
    *SETR_CHECKPOINTS,
    *SETR_MMSEG_CHECKPOINTS,
    *VIT_ADAPTER_CHECKPOINTS,
)


def get_released_checkpoint(name: str) -> ReleasedCheckpoint:
    """The preset of that name.

    Raises:
        ConversionError: If there is none; lists the names.
    """
    for checkpoint in RELEASED_CHECKPOINTS:
        if checkpoint.name == name:
            return checkpoint
    names = "\n  ".join(checkpoint.name for checkpoint in RELEASED_CHECKPOINTS)
    raise ConversionError(f"Unknown preset {name!r}. The presets are:\n  {names}")


def preset_for_classes(checkpoint: ReleasedCheckpoint, num_classes: int | None) -> ReleasedCheckpoint:
    """The preset of the same file that has the number of classes found in it.

    Args:
        checkpoint: The preset that was asked for.
        num_classes: Counted in the file; `None` if it has no class queries (the conversion will say what it is).

    Raises:
        ConversionError: If no preset of this file has that many classes.
    """
    if num_classes is None or num_classes == checkpoint.num_labels:
        return checkpoint
    siblings = [
        other
        for other in RELEASED_CHECKPOINTS
        if (other.url, other.file_name) == (checkpoint.url, checkpoint.file_name)
    ]
    for other in siblings:
        if other.num_labels == num_classes:
            return other
    expected = " or ".join(str(other.num_labels) for other in siblings)
    fitting = [
        other.name
        for other in RELEASED_CHECKPOINTS
        if (other.family, other.num_labels) == (checkpoint.family, num_classes)
    ]
    advice = f" Presets with {num_classes} classes: {', '.join(fitting)}." if fitting else ""
    raise ConversionError(
        f"Preset {checkpoint.name}: expected a file with {expected} classes ({checkpoint.file_name}), found "
        f"{num_classes}.{advice}"
    )


def preset_for_layout(checkpoint: ReleasedCheckpoint, layout: str) -> ReleasedCheckpoint:
    """The preset of the same model whose file has the layout that was found.

    Raises:
        ConversionError: If there is none.
    """
    if checkpoint.layout == layout:
        return checkpoint
    for other in RELEASED_CHECKPOINTS:
        if other.layout == layout and (
            other.same_model_as == checkpoint.name or checkpoint.same_model_as == other.name
        ):
            return other
    raise ConversionError(
        f"Preset {checkpoint.name}: expected a file in the layout {checkpoint.layout!r}, found {layout!r}. Convert a "
        "file of your own with --family and --config."
    )


__all__ = [
    "RELEASED_CHECKPOINTS",
    "Publication",
    "ReleasedCheckpoint",
    "get_released_checkpoint",
    "preset_for_classes",
    "preset_for_layout",
]
