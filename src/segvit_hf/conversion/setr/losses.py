"""Reads what the heads of SETR, in either code base, say of the classes and of the losses."""

from collections.abc import Sequence
from typing import Any

from segvit_hf.conversion.mmseg.model import cross_entropy_weight, require_cross_entropy, same_for_all
from segvit_hf.conversion.original_fields import OriginalFields

# That of both code bases' configurations.
_AUXILIARY_LOSS_WEIGHT = 0.4


def loss_fields(decode_head: OriginalFields, auxiliary_heads: Sequence[OriginalFields]) -> dict[str, Any]:
    """`num_labels`, `semantic_loss_ignore_index` and `auxiliary_loss_weight` of `SetrConfig`.

    Raises:
        ConversionError: If the heads differ, or a loss is not supported.
    """
    num_labels = decode_head.use_int("num_classes")
    ignore_index = decode_head.use_index("ignore_index", 255)
    for head in auxiliary_heads:
        head.require("num_classes", num_labels)
        head.require("ignore_index", ignore_index, default=255)
    require_cross_entropy(decode_head)
    weights = [cross_entropy_weight(head) for head in auxiliary_heads]
    return {
        "num_labels": num_labels,
        "semantic_loss_ignore_index": ignore_index,
        "auxiliary_loss_weight": same_for_all(
            auxiliary_heads, "loss_decode.loss_weight", weights, _AUXILIARY_LOSS_WEIGHT
        ),
    }


__all__ = ["loss_fields"]
