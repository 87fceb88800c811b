"""Reads the UperNet heads of ViT-Adapter's configurations, which are mmsegmentation's.

Follows mmsegmentation 0.x's models/decode_heads/uper_head.py and fcn_head.py.
"""

from typing import Any

from segvit_hf.conversion.mmseg.model import (
    cross_entropy_weight,
    require_batch_norm,
    require_cross_entropy,
    require_plain_head,
)
from segvit_hf.conversion.original_fields import OriginalFields
from segvit_hf.encoders.configuration_vit_adapter import NUM_FEATURE_MAPS

_ALL_MAPS = list(range(NUM_FEATURE_MAPS))


def read_upernet(head: OriginalFields, encoder_width: int) -> tuple[dict[str, Any], int]:
    """Fields of `VitAdapterConfig` for a `decode_head`, and the number of classes."""
    num_labels = head.use_int("num_classes")
    head.require("in_channels", [encoder_width] * NUM_FEATURE_MAPS)
    head.require("in_index", _ALL_MAPS, default=_ALL_MAPS)
    require_cross_entropy(head)
    require_batch_norm(head)
    require_plain_head(head, num_labels, input_transform="multiple_select")
    fields = {
        "decoder_type": "upernet",
        "decoder_hidden_size": head.use_int("channels"),
        "decoder_dropout": head.use_rate("dropout_ratio", 0.1),
        "pool_scales": head.use_indices("pool_scales", [1, 2, 3, 6]),
        "semantic_loss_ignore_index": head.use_index("ignore_index", 255),
    }
    head.finish()
    return fields, num_labels


def read_auxiliary_head(model: OriginalFields, encoder_width: int, num_labels: int) -> dict[str, Any]:
    """Fields of `VitAdapterConfig` for the `auxiliary_head` of a model dictionary, which may be absent."""
    if not model.use("auxiliary_head", None):
        return {"use_auxiliary_head": False}
    head = model.section("auxiliary_head")
    head.require("type", "FCNHead")
    head.require("in_channels", encoder_width)
    head.require("num_classes", num_labels)
    head.require("kernel_size", 3, default=3)
    head.require("dilation", 1, default=1)
    head.require("concat_input", False)
    require_batch_norm(head)
    require_plain_head(head, num_labels)
    head.ignore("dropout_ratio", "ignore_index")
    fields = {
        "use_auxiliary_head": True,
        "auxiliary_hidden_size": head.use_int("channels"),
        "auxiliary_num_convolutions": head.use_layers("num_convs", 2, minimum=0),
        "auxiliary_map_index": head.use_index("in_index", -1) % NUM_FEATURE_MAPS,
        "auxiliary_loss_weight": cross_entropy_weight(head),
    }
    head.finish()
    return fields


__all__ = ["read_auxiliary_head", "read_upernet"]
