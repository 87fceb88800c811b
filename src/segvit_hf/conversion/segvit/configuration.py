"""Reads the configurations of SegViT (https://github.com/zbwxp/SegVit) and of SegViTv2's head.

Follows the original's configs/ and mmseg/models/decode_heads/atm_head.py and tpn_atm_head.py: the attention-to-mask
head (`ATMHead`) and the Shrunk variant (`vit_shrink` with `TPNATMHead`). SegViTv2's head (`ATMHeadV2`) follows
https://github.com/zbwxp/Dynamic-Token-Pruning and, with the segmentor of its continual training,
https://github.com/jinchaogjc/cit.
"""

from collections.abc import Mapping
from typing import Any

from segvit_hf.conversion.labels import label_fields
from segvit_hf.conversion.mmseg.beit import beit_configuration, is_mmseg_beit
from segvit_hf.conversion.mmseg.image_processor import original_processor_arguments
from segvit_hf.conversion.mmseg.model import model_fields, require_plain_head, sliding_window
from segvit_hf.conversion.mmseg.vit import mmseg_vit_configuration
from segvit_hf.conversion.original_fields import OriginalFields
from segvit_hf.conversion.reading.recognition import Naming

# torch's MultiheadAttention and the layers' own dropouts, which the original's configuration cannot change.
_DECODER_DROPOUT = 0.1
# SetCriterion's eos_coef, which the original's configuration cannot change either.
_NO_OBJECT_WEIGHT = 0.1
# The segmentor of continual training; it runs as the plain one does, and its other fields belong to a training run.
_CONTINUAL_SEGMENTOR = "EncoderDecoderCL"
_CONTINUAL_TRAINING = (
    "pre_num_cls",
    "new_num_cls",
    "temperature",
    "cls_factor",
    "attn_factor",
    "zero_gt",
    "freeze_backbone",
)


def read_config(original: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `SegVitConfig`.

    Args:
        original: `model`, `classes` and `palette` are read.

    Raises:
        ConversionError: If a field of `model` is missing, unknown or not supported, naming it.
    """
    model = model_fields(original, _CONTINUAL_SEGMENTOR)
    model.require("neck", None, default=None)
    model.require("auxiliary_head", None, [], default=None)
    model.ignore("train_cfg", "data_preprocessor", *_CONTINUAL_TRAINING)
    encoder = _encoder_fields(model.section("backbone"))
    decoder, num_labels = _decoder_fields(model.section("decode_head"), encoder["hidden_size"])
    if model.values.get("segmentor", model.values.get("type")) == _CONTINUAL_SEGMENTOR:
        # `num_classes` is that of the first step; the weights say how many classes there are now.
        num_labels = _number_of_names(original, num_labels)
    window = sliding_window(model)
    model.finish()
    return {**encoder, **decoder, "sliding_window": window, **label_fields(original, num_labels)}


def read_image_processor(original: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `SegVitImageProcessor`.

    Args:
        original: `test_pipeline` and `reduce_zero_label` are read.

    Raises:
        ConversionError: If a step or a setting of the pipeline is not supported, naming it.
    """
    return original_processor_arguments(original)


def naming_of(original: Mapping[str, Any]) -> Naming:
    """`"mmseg"` for mmsegmentation's own BEiT; all else has the names of the models' authors."""
    model = original.get("model")
    backbone = model.get("backbone") if isinstance(model, Mapping) else None
    if isinstance(backbone, Mapping) and backbone.get("type") == "BEiT" and is_mmseg_beit(backbone):
        return "mmseg"
    return "original"


def _number_of_names(original: Mapping[str, Any], default: int) -> int:
    classes = original.get("classes")
    return len(classes) if isinstance(classes, (list, tuple)) else default


def _encoder_fields(backbone: OriginalFields) -> dict[str, Any]:
    if backbone.values.get("type") == "BEiT":
        return beit_configuration(backbone)
    # SegViT's heads take every patch grid for a square, so mmsegmentation's rule (resize only when the number of
    # patches differs) never mattered in it; with other shapes, which ours accepts, it would give the wrong embeddings.
    return {**mmseg_vit_configuration(backbone), "position_embedding_resize_by": "grid"}


def _decoder_fields(head: OriginalFields, encoder_width: int) -> tuple[dict[str, Any], int]:
    kind = head.require("type", "ATMHead", "ATMHeadV2", "TPNATMHead")
    is_shrunk, is_version_2 = kind == "TPNATMHead", kind == "ATMHeadV2"
    num_labels = head.use_int("num_classes")
    loss = head.section("loss_decode")
    loss.require("type", "ATMLoss")
    # SegViTv2's loss knows one class: the one of a query, which is there or not.
    loss.require("num_classes", 1 if is_version_2 else num_labels)
    loss.require("use_point", False, default=False)
    loss_weight = loss.use_number("loss_weight", 1.0)
    fields = {
        "decoder_hidden_size": head.use_int("embed_dims", 768),
        "decoder_num_layers": head.use_layers("num_layers", 3),
        "decoder_num_attention_heads": head.use_int("num_heads", 8),
        "decoder_dropout": _DECODER_DROPOUT,
        "num_decoder_stages": head.use_layers("use_stages", 3),
        "use_input_projection": head.use_bool("use_proj", True),
        "shared_class_head": is_version_2,
        "use_token_pyramid": is_shrunk,
        "mask_size": head.use_int("img_size"),
        "class_loss_weight": loss.use_number("cls_weight", 1.0) * loss_weight,
        "mask_loss_weight": loss.use_number("mask_weight", 20.0) * loss_weight,
        "dice_loss_weight": loss.use_number("dice_weight", 1.0) * loss_weight,
        "no_object_weight": _NO_OBJECT_WEIGHT,
        "num_supervised_outputs": loss.use_layers("dec_layers", minimum=0),
        "semantic_loss_ignore_index": head.use_index("ignore_index", 255),
    }
    if is_version_2:
        loss.ignore("ignore_range")  # of a continual training step
    loss.finish()
    if is_shrunk:
        fields["token_pyramid_stride"] = head.use_int("shrink_ratio", 16)
    else:
        head.ignore("shrink_ratio")  # an argument that ATMHead does not use
        head.require("CE_loss", False, default=False)
        # Only acts with a backbone that drops patches in training; the weights and the outputs are the same.
        head.ignore("crop_train")
    head.require("in_channels", encoder_width)
    head.require("norm_cfg", None, default=None)
    require_plain_head(head, num_labels)
    # mmsegmentation's base class takes these; SegViT's heads never read them.
    head.ignore("channels", "dropout_ratio", "in_index")
    head.finish()
    return fields, num_labels


__all__ = ["naming_of", "read_config", "read_image_processor"]
