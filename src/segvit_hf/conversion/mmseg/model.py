"""What the model dictionaries of mmsegmentation have in common, whatever the architecture.

Follows mmsegmentation 0.x's models/segmentors/encoder_decoder.py and models/decode_heads/decode_head.py.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.original_fields import OriginalFields
from segvit_hf.messages import listed, quoted

_PLAIN_HEAD: dict[str, Any] = {
    "act_cfg": {"type": "ReLU"},
    "conv_cfg": None,
    "input_transform": None,
    "align_corners": False,
    "sampler": None,
    "threshold": None,
}


def model_fields(original: Mapping[str, Any], *segmentors: str) -> OriginalFields:
    """The model dictionary of an original configuration, what names the segmentor and the initialization already read.

    Args:
        original: `{"model": <mmseg model dict>, ...}`.
        segmentors: Supported values of `type` beside "EncoderDecoder".

    Raises:
        ConversionError: If there is no model dictionary, or it describes another segmentor.
    """
    if "model" not in original:
        raise ConversionError(
            "The original's configuration: expected a dictionary with the key 'model' (mmsegmentation's model dict), "
            f"found the keys {listed(original)}."
        )
    model = OriginalFields(original["model"], "model")
    for name in ("segmentor", "type"):
        model.require(name, "EncoderDecoder", *segmentors, default="EncoderDecoder")
    model.ignore("pretrained", "init_cfg")
    return model


def sliding_window(model: OriginalFields, *, unused: Sequence[str] = ()) -> dict[str, list[int]] | None:
    """`config.sliding_window` for the `test_cfg` of a model dictionary; `None` where images are run whole.

    Args:
        model: The model dictionary.
        unused: Further fields of `test_cfg`, which the segmentation code of this architecture never reads.

    Raises:
        ConversionError: If the mode or another setting is not supported, naming it.
    """
    if model.use("test_cfg", None) is None:
        return None
    test = model.section("test_cfg")
    window = None
    if test.require("mode", "slide", "whole") == "slide":
        window = {"crop_size": test.use_pair("crop_size"), "stride": test.use_pair("stride")}
    else:
        test.ignore("crop_size", "stride")
    test.ignore(*unused)
    test.finish()
    return window


def require_plain_head(head: OriginalFields, num_labels: int, *, unused: Sequence[str] = (), **instead: Any) -> None:
    """Reads what every head of mmsegmentation takes and none of a released model sets to anything unusual.

    Those are `act_cfg`, `conv_cfg`, `input_transform`, `align_corners`, `sampler`, `threshold`, `out_channels`, and
    `init_cfg`, which is ignored.

    Args:
        head: The head's dictionary.
        num_labels: Number of classes, the only supported `out_channels`.
        unused: Those of them that this kind of head never reads.
        instead: By field, the only supported value where it is not mmsegmentation's default.

    Raises:
        ConversionError: If a field has another value, naming it.
    """
    expected = {**_PLAIN_HEAD, **instead}
    for name, value in expected.items():
        if name not in unused:
            head.require(name, value, default=value)
    head.require("out_channels", None, num_labels, default=None)
    head.ignore("init_cfg", *unused)


def cross_entropy_weight(head: OriginalFields) -> float:
    """Weight of the `loss_decode` of a head, which must be mmsegmentation's cross entropy over all pixels.

    Raises:
        ConversionError: If it is another loss, naming the field.
    """
    if head.use("loss_decode", None) is None:
        return 1.0
    loss = head.section("loss_decode")
    loss.require("type", "CrossEntropyLoss")
    loss.require("use_sigmoid", False, default=False)
    loss.require("use_mask", False, default=False)
    loss.require("reduction", "mean", default="mean")
    loss.require("class_weight", None, default=None)
    # True would divide by the pixels that have a class instead of by all of them.
    loss.require("avg_non_ignore", False, default=False)
    loss.ignore("loss_name")
    weight = loss.use_number("loss_weight", 1.0)
    loss.finish()
    return weight


def require_cross_entropy(head: OriginalFields) -> None:
    """Checks that the `loss_decode` of a decode head is mmsegmentation's cross entropy, and not weighted.

    Raises:
        ConversionError: If it is another loss, or has another weight than 1, naming the field.
    """
    weight = cross_entropy_weight(head)
    if weight != 1.0:
        raise ConversionError(f"{head.where}.loss_decode.loss_weight: expected 1.0, found {weight}.")


def same_for_all(heads: Sequence[OriginalFields], name: str, values: Sequence[Any], default: Any) -> Any:
    """The one value that a field has in all heads; `default` where there are none.

    Raises:
        ConversionError: If the heads differ.
    """
    for head, value in zip(heads, values, strict=True):
        if value != values[0]:
            raise ConversionError(
                f"{head.where}.{name} = {quoted(value)} is not supported: {heads[0].where} has {quoted(values[0])}, "
                "and all auxiliary heads must be alike."
            )
    return values[0] if values else default


def require_batch_norm(fields: OriginalFields, name: str = "norm_cfg") -> None:
    """Checks that a `norm_cfg` is batch norm; SyncBN has the same weights and, in one process, the same outputs.

    Raises:
        ConversionError: If it is another norm, or has settings of its own.
    """
    norm = fields.section(name)
    norm.require("type", "SyncBN", "BN", "BN2d")
    norm.require("eps", 1e-5, default=1e-5)
    norm.require("momentum", 0.1, default=0.1)
    norm.ignore("requires_grad")
    norm.finish()


__all__ = [
    "cross_entropy_weight",
    "model_fields",
    "require_batch_norm",
    "require_cross_entropy",
    "require_plain_head",
    "same_for_all",
    "sliding_window",
]
