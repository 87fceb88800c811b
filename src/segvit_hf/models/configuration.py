"""The configuration fields of every semantic segmentation model, whatever its encoder and decoder."""

from typing import TYPE_CHECKING, Any, TypeVar

from transformers import PreTrainedConfig

from segvit_hf._compat import strict
from segvit_hf.models.sliding_window import validated_sliding_window

T = TypeVar("T")


@strict
class SemanticSegmentationConfig(PreTrainedConfig):
    r"""How labels are read and how large inputs are run; mixed in before an encoder's configuration.

    Args:
        semantic_loss_ignore_index (`int`, defaults to 255):
            Label of pixels that belong to no class.
        sliding_window (`dict`, *optional*):
            `{"crop_size": (height, width), "stride": (height, width)}` in pixels: in eval mode larger inputs are run
            in such windows and the scores averaged. `None` runs any input whole. Numbers stand for squares, and a
            pair for crop size and stride. Checked and brought into one form whenever the field is set.
        square_small_inputs (`bool`, defaults to `False`):
            Whether inputs that are smaller than the window in both directions are run in square windows of their
            short side (DINOv3), and not whole.
    """

    # A dictionary, which Trainer's evaluation cannot gather.
    keys_to_ignore_at_inference = ["losses"]

    semantic_loss_ignore_index: int = 255
    sliding_window: dict[str, Any] | list[Any] | tuple[Any, ...] | None = None
    square_small_inputs: bool = False

    if TYPE_CHECKING:
        num_labels: int  # the base class's property, which is never None in a segmentation model

    def __setattr__(self, name: str, value: Any) -> None:
        # Here, not in `__post_init__`: the field is also set on the configuration of a finished model.
        super().__setattr__(name, validated_sliding_window(value) if name == "sliding_window" else value)


def filled(value: T | None) -> T:
    """A field that a user may leave open, after the configuration has filled it."""
    assert value is not None
    return value


__all__ = ["SemanticSegmentationConfig", "filled"]
