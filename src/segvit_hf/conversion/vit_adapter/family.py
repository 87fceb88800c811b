"""ViT-Adapter (Chen et al., ICLR 2023, https://github.com/czczup/ViT-Adapter): configuration and image processor.

Covers the segmentation code's ViT and BEiT encoders with UPerHead or Mask2FormerHead.
"""

from collections.abc import Mapping
from typing import Any

import torch

from segvit_hf.conversion.errors import ConversionError
from segvit_hf.conversion.mmseg.model import model_fields
from segvit_hf.conversion.mmseg.test_pipeline import original_processor_arguments
from segvit_hf.conversion.original_fields import OriginalFields
from segvit_hf.conversion.plan import ConversionPlan, build_config, label_arguments
from segvit_hf.conversion.vit_adapter.names import vit_adapter_rules
from segvit_hf.encoders.configuration_vit_adapter import NUM_FEATURE_MAPS
from segvit_hf.models.vit_adapter.configuration_vit_adapter import VitAdapterConfig
from segvit_hf.models.vit_adapter.image_processing_vit_adapter import VitAdapterImageProcessor
from segvit_hf.models.vit_adapter.modeling_vit_adapter import VitAdapterForSemanticSegmentation

# Fixed in the code of the original.
_LAYER_NORM_EPS = 1e-6
_NUM_EXTRA_EXTRACTORS = 2
_ALL_MAPS = list(range(NUM_FEATURE_MAPS))
_POSITION_EMBEDDINGS = "backbone.pos_embed"
_UPERNET_CLASSIFIER = "decode_head.conv_seg.weight"
_MASK2FORMER_CLASSIFIER = "decode_head.cls_embed.weight"


def plan_conversion(state_dict: Mapping[str, torch.Tensor], original: Mapping[str, Any]) -> ConversionPlan:
    """Args:
        state_dict: Original names to tensors; read for the kind of decoder and the number of classes.
        original: `{"model": <mmseg model dict>, "test_pipeline": [...]}`; optional keys `classes`, `palette` and
            `reduce_zero_label` (whether label 0 of the data set's maps means "no class").

    Raises:
        ConversionError: If the configuration is incomplete, unsupported or not that of the weights.
    """
    config = vit_adapter_config(original)
    _check_head(config, state_dict)
    # Our default is the second resize, which Cityscapes' pipeline does without.
    arguments = original_processor_arguments(original, size_divisor=None)
    return ConversionPlan(
        config=config,
        model_class=VitAdapterForSemanticSegmentation,
        image_processor=VitAdapterImageProcessor(**arguments),
        rules=vit_adapter_rules(
            is_beit=config.use_relative_position_bias, is_mask2former=config.decoder_type == "mask2former"
        ),
        # The first row belongs to a class token that this encoder does not have.
        transforms={_POSITION_EMBEDDINGS: lambda embeddings: embeddings[:, 1:]},
    )


def vit_adapter_config(original: Mapping[str, Any]) -> VitAdapterConfig:
    """The configuration that describes an original one.

    Args:
        original: As for `plan_conversion`; only `model`, `classes` and `palette` are read.

    Raises:
        ConversionError: If a field of `model` is missing, unknown or not supported, naming it.
    """
    model = model_fields(original, "EncoderDecoderMask2Former")
    model.require("neck", None, default=None)
    encoder = _encoder_configuration(model.section("backbone"))
    head = model.section("decode_head")
    if head.require("type", "UPerHead", "Mask2FormerHead") == "UPerHead":
        model.ignore("train_cfg")
        decoder, num_labels = _upernet_configuration(head, encoder["hidden_size"])
        decoder.update(_auxiliary_configuration(model, encoder["hidden_size"], num_labels))
    else:
        model.require("auxiliary_head", None, [], default=None)
        decoder, num_labels = _mask2former_configuration(head, encoder["hidden_size"])
        decoder.update(_matching_configuration(model, decoder))
    sliding_window = _sliding_window(model)
    model.finish()
    labels = label_arguments(original, num_labels)
    return build_config(VitAdapterConfig, "model", **encoder, **decoder, sliding_window=sliding_window, **labels)


def _encoder_configuration(backbone: OriginalFields) -> dict[str, Any]:
    is_beit = backbone.require("type", "ViTAdapter", "BEiTAdapter") == "BEiTAdapter"
    hidden_size = backbone.use_int("embed_dim", 768)
    num_layers = backbone.use_int("depth", 12)
    configuration = {
        "patch_size": backbone.require("patch_size", 16, default=16),
        "num_channels": backbone.use_int("in_chans", 3),
        "hidden_size": hidden_size,
        "num_hidden_layers": num_layers,
        "num_attention_heads": backbone.use_int("num_heads", 12),
        "intermediate_size": int(backbone.use_number("mlp_ratio", 4) * hidden_size),
        "hidden_act": "gelu",
        "hidden_dropout_prob": backbone.use_number("drop_rate", 0.0),
        "attention_probs_dropout_prob": backbone.use_number("attn_drop_rate", 0.0),
        "drop_path_rate": backbone.use_number("drop_path_rate", 0.0),
        "layer_norm_eps": _LAYER_NORM_EPS,
        "qkv_bias": backbone.use_bool("qkv_bias", not is_beit),
        "spatial_prior_hidden_size": backbone.use_int("conv_inplane", 64),
        "adapter_num_points": backbone.use_int("n_points", 4),
        "adapter_num_attention_heads": backbone.use_int("deform_num_heads", 6),
        "adapter_value_ratio": backbone.use_number("deform_ratio", 1.0),
        "adapter_mlp_ratio": backbone.use_number("cffn_ratio", 0.25),
        "injector_init_value": backbone.use_number("init_values", 0.0),
        "num_extra_extractors": _NUM_EXTRA_EXTRACTORS,
        "add_vit_features": backbone.use_bool("add_vit_feature", True),
        "encoder_out_indices": _interaction_ends(backbone, num_layers),
    }
    if is_beit:
        configuration.update(_beit_configuration(backbone))
    else:
        configuration.update(_vit_configuration(backbone, num_layers))
    backbone.require("with_cffn", True, default=True)
    backbone.require("norm_layer", "LayerNorm(eps=1e-6)", None, default=None)
    backbone.ignore("num_classes", "with_cp", "pretrained", "init_cfg")
    backbone.finish()
    return configuration


def _vit_configuration(backbone: OriginalFields, num_layers: int) -> dict[str, Any]:
    backbone.require("act_layer", "GELU (exact)", None, default=None)
    backbone.require("window_attn", False, [False] * num_layers, default=False)
    extra = backbone.use_bool("use_extra_extractor", True)
    backbone.ignore("window_size", "img_size")
    return {
        # Position embeddings are cut into the grid of pretrain_size whatever img_size says.
        "image_size": backbone.use_int("pretrain_size", 224),
        "use_class_token": False,
        "layer_scale_init_value": 1.0 if backbone.use_bool("layer_scale", True) else None,
        "num_extra_extractors": _NUM_EXTRA_EXTRACTORS if extra else 0,
    }


def _beit_configuration(backbone: OriginalFields) -> dict[str, Any]:
    backbone.require("use_abs_pos_emb", False, default=False)
    backbone.require("use_rel_pos_bias", True, default=True)
    backbone.require("use_shared_rel_pos_bias", False, default=False)
    backbone.require("qk_scale", None, default=None)
    backbone.require("hybrid_backbone", None, default=None)
    backbone.ignore("use_checkpoint", "pretrain_size")
    return {
        "image_size": backbone.use_pair("img_size", 512),
        "use_class_token": True,
        "use_position_embeddings": False,
        "use_relative_position_bias": True,
        "layer_scale_init_value": backbone.use_number("init_values", 0.0),
    }


def _interaction_ends(backbone: OriginalFields, num_layers: int) -> list[int]:
    groups = [list(group) for group in backbone.use("interaction_indexes")]
    layers = [layer for group in groups for layer in range(group[0], group[-1] + 1)]
    if layers != list(range(num_layers)):
        raise ConversionError(
            f"{backbone.where}.interaction_indexes = {groups}: expected groups [first, last] that hold every one of "
            f"the {num_layers} layers once, in order."
        )
    return [group[-1] for group in groups]


def _upernet_configuration(head: OriginalFields, encoder_width: int) -> tuple[dict[str, Any], int]:
    num_labels = head.use_int("num_classes")
    head.require("in_channels", [encoder_width] * NUM_FEATURE_MAPS)
    head.require("in_index", _ALL_MAPS, default=_ALL_MAPS)
    _require_cross_entropy(head, 1.0)
    configuration = {
        "decoder_type": "upernet",
        "decoder_hidden_size": head.use_int("channels"),
        "decoder_dropout": head.use_number("dropout_ratio", 0.1),
        "pool_scales": list(head.use("pool_scales", [1, 2, 3, 6])),
        "semantic_loss_ignore_index": head.use_int("ignore_index", 255),
    }
    _finish_convolutional_head(head)
    return configuration, num_labels


def _auxiliary_configuration(model: OriginalFields, encoder_width: int, num_labels: int) -> dict[str, Any]:
    if not model.use("auxiliary_head", None):
        return {"use_auxiliary_head": False}
    head = model.section("auxiliary_head")
    head.require("type", "FCNHead")
    head.require("in_channels", encoder_width)
    head.require("num_classes", num_labels)
    head.require("kernel_size", 3, default=3)
    head.require("dilation", 1, default=1)
    head.require("concat_input", False)
    head.ignore("dropout_ratio", "ignore_index")
    configuration = {
        "use_auxiliary_head": True,
        "auxiliary_hidden_size": head.use_int("channels"),
        "auxiliary_num_convolutions": head.use_int("num_convs", 2),
        "auxiliary_map_index": head.use_int("in_index", -1) % NUM_FEATURE_MAPS,
        "auxiliary_loss_weight": _require_cross_entropy(head),
    }
    _finish_convolutional_head(head)
    return configuration


def _require_cross_entropy(head: OriginalFields, weight: float | None = None) -> float:
    loss = head.section("loss_decode")
    loss.require("type", "CrossEntropyLoss")
    loss.require("use_sigmoid", False, default=False)
    loss.require("avg_non_ignore", False, default=False)
    loss.require("class_weight", None, default=None)
    found = loss.use_number("loss_weight", 1.0)
    if weight is not None:
        loss.require("loss_weight", weight, default=1.0)
    loss.finish()
    return found


def _finish_convolutional_head(head: OriginalFields) -> None:
    norm = head.section("norm_cfg")
    norm.require("type", "SyncBN", "BN")
    norm.ignore("requires_grad")
    norm.finish()
    head.require("act_cfg", {"type": "ReLU"}, default={"type": "ReLU"})
    head.require("conv_cfg", None, default=None)
    head.require("align_corners", False, default=False)
    head.require("sampler", None, default=None)
    head.ignore("init_cfg")
    head.finish()


def _mask2former_configuration(head: OriginalFields, encoder_width: int) -> tuple[dict[str, Any], int]:
    num_labels = head.use_int("num_things_classes", 80) + head.use_int("num_stuff_classes", 53)
    width = head.use_int("feat_channels")
    head.require("in_channels", [encoder_width] * NUM_FEATURE_MAPS)
    head.require("in_index", _ALL_MAPS, default=_ALL_MAPS)
    head.require("num_transformer_feat_level", 3, default=3)
    head.require("enforce_decoder_input_project", False, default=False)
    head.require("align_corners", False, default=False)
    _require_positions(head, width)
    classes = head.section("loss_cls")
    weights = classes.use("class_weight")
    if not isinstance(weights, (list, tuple)) or list(weights[:-1]) != [1.0] * num_labels:
        raise ConversionError(
            f"{classes.where}.class_weight: expected 1.0 for each of the {num_labels} classes and a weight for no "
            f"object, found {weights!r}."
        )
    configuration = {
        "decoder_type": "mask2former",
        "decoder_hidden_size": width,
        "mask_feature_size": head.use_int("out_channels"),
        "num_queries": head.use_int("num_queries", 100),
        "class_loss_weight": _loss_weight(classes, "CrossEntropyLoss", {"use_sigmoid": False}),
        "mask_loss_weight": _loss_weight(head.section("loss_mask"), "CrossEntropyLoss", {"use_sigmoid": True}),
        "dice_loss_weight": _loss_weight(
            head.section("loss_dice"),
            "DiceLoss",
            {"use_sigmoid": True, "activate": True, "naive_dice": True, "eps": 1.0},
        ),
        "no_object_weight": float(weights[-1]),
        "semantic_loss_ignore_index": head.use_int("ignore_index", 255),
        **_pixel_decoder_configuration(head.section("pixel_decoder"), width),
        **_transformer_decoder_configuration(head.section("transformer_decoder"), width),
    }
    head.ignore("init_cfg")
    head.finish()
    return configuration, num_labels


def _loss_weight(loss: OriginalFields, kind: str, fixed: Mapping[str, Any]) -> float:
    loss.require("type", kind)
    loss.require("reduction", "mean", default="mean")
    for name, value in fixed.items():
        loss.require(name, value)
    loss.ignore("class_weight")
    weight = loss.use_number("loss_weight", 1.0)
    loss.finish()
    return weight


def _require_positions(fields: OriginalFields, width: int) -> None:
    positions = fields.section("positional_encoding")
    positions.require("type", "SinePositionalEncoding")
    positions.require("num_feats", width // 2)
    positions.require("normalize", True)
    positions.finish()


def _require_feed_forward(layers: OriginalFields, width: int) -> int:
    feed_forward = layers.section("ffn_cfgs")
    feed_forward.require("type", "FFN", default="FFN")
    feed_forward.require("embed_dims", width)
    feed_forward.require("num_fcs", 2, default=2)
    feed_forward.require("ffn_drop", 0.0, default=0.0)
    feed_forward.require("add_identity", True, default=True)
    feed_forward.require("dropout_layer", None, default=None)
    feed_forward.ignore("with_cp", "act_cfg", "init_cfg")
    intermediate_size = feed_forward.use_int("feedforward_channels")
    feed_forward.finish()
    return intermediate_size


def _pixel_decoder_configuration(decoder: OriginalFields, width: int) -> dict[str, Any]:
    decoder.require("type", "MSDeformAttnPixelDecoder")
    decoder.require("num_outs", 3, default=3)
    decoder.require("norm_cfg", {"type": "GN", "num_groups": 32})
    decoder.require("act_cfg", {"type": "ReLU"})
    _require_positions(decoder, width)
    encoder = decoder.section("encoder")
    encoder.require("type", "DetrTransformerEncoder")
    layers = encoder.section("transformerlayers")
    layers.require("type", "BaseTransformerLayer")
    layers.require("operation_order", ["self_attn", "norm", "ffn", "norm"])
    attention = layers.section("attn_cfgs")
    attention.require("type", "MultiScaleDeformableAttention")
    attention.require("embed_dims", width)
    attention.require("num_levels", 3)
    attention.require("dropout", 0.0)
    attention.ignore("im2col_step", "batch_first", "norm_cfg", "init_cfg")
    configuration = {
        "pixel_decoder_num_layers": encoder.use_int("num_layers"),
        "pixel_decoder_num_attention_heads": attention.use_int("num_heads"),
        "pixel_decoder_num_points": attention.use_int("num_points"),
        "pixel_decoder_intermediate_size": _require_feed_forward(layers, width),
    }
    decoder.ignore("init_cfg")
    encoder.ignore("init_cfg")
    for fields in (attention, layers, encoder, decoder):
        fields.finish()
    return configuration


def _transformer_decoder_configuration(decoder: OriginalFields, width: int) -> dict[str, Any]:
    decoder.require("type", "DetrTransformerDecoder")
    layers = decoder.section("transformerlayers")
    layers.require("type", "DetrTransformerDecoderLayer")
    layers.require("operation_order", ["cross_attn", "norm", "self_attn", "norm", "ffn", "norm"])
    attention = layers.section("attn_cfgs")
    attention.require("type", "MultiheadAttention")
    attention.require("embed_dims", width)
    attention.require("attn_drop", 0.0, default=0.0)
    attention.require("proj_drop", 0.0, default=0.0)
    attention.require("dropout_layer", None, default=None)
    attention.ignore("batch_first")
    intermediate_size = _require_feed_forward(layers, width)
    layers.require("feedforward_channels", intermediate_size)
    configuration = {
        "decoder_num_layers": decoder.use_int("num_layers"),
        "decoder_num_attention_heads": attention.use_int("num_heads"),
        "decoder_intermediate_size": intermediate_size,
    }
    decoder.ignore("return_intermediate", "init_cfg")
    for fields in (attention, layers, decoder):
        fields.finish()
    return configuration


def _matching_configuration(model: OriginalFields, decoder: Mapping[str, Any]) -> dict[str, Any]:
    if not model.use("train_cfg", None):
        return {}
    train = model.section("train_cfg")
    assigner = train.section("assigner")
    assigner.require("type", "MaskHungarianAssigner")
    for name, kind, fixed in (
        ("cls_cost", "ClassificationCost", {}),
        ("mask_cost", "CrossEntropyLossCost", {"use_sigmoid": True}),
        ("dice_cost", "DiceCost", {"pred_act": True, "eps": 1.0}),
    ):
        cost = assigner.section(name)
        cost.require("type", kind)
        # One set of weights serves the matching and the loss.
        cost.require("weight", decoder[f"{name.removesuffix('_cost').replace('cls', 'class')}_loss_weight"])
        for field, value in fixed.items():
            cost.require(field, value)
        cost.finish()
    train.ignore("sampler")
    configuration = {
        "num_points": train.use_int("num_points", 12544),
        "oversample_ratio": train.use_number("oversample_ratio", 3.0),
        "importance_sample_ratio": train.use_number("importance_sample_ratio", 0.75),
    }
    assigner.finish()
    train.finish()
    return configuration


def _sliding_window(model: OriginalFields) -> dict[str, list[int]] | None:
    if model.use("test_cfg", None) is None:
        return None
    test = model.section("test_cfg")
    window = None
    if test.require("mode", "slide", "whole") == "slide":
        window = {"crop_size": test.use_pair("crop_size"), "stride": test.use_pair("stride")}
    # The rest speaks of panoptic and instance inference, which the segmentation code does not have.
    return window


def _check_head(config: VitAdapterConfig, state_dict: Mapping[str, torch.Tensor]) -> None:
    is_mask2former_file = _MASK2FORMER_CLASSIFIER in state_dict
    is_mask2former = config.decoder_type == "mask2former"
    if (is_mask2former_file or _UPERNET_CLASSIFIER in state_dict) and is_mask2former_file != is_mask2former:
        kinds = {True: "Mask2Former", False: "UperNet"}
        raise ConversionError(
            f"The configuration's decoder is {kinds[is_mask2former]}, the weights' is {kinds[is_mask2former_file]}."
        )
    found = count_classes(state_dict)
    if found is not None and found != config.num_labels:
        raise ConversionError(f"The configuration has {config.num_labels} classes, the weights have {found}.")


def count_classes(state_dict: Mapping[str, torch.Tensor]) -> int | None:
    """Number of classes of a ViT-Adapter checkpoint, read from its classifier; `None` if it has none."""
    if _MASK2FORMER_CLASSIFIER in state_dict:
        return state_dict[_MASK2FORMER_CLASSIFIER].shape[0] - 1  # the last row is "no object"
    classifier = state_dict.get(_UPERNET_CLASSIFIER)
    return None if classifier is None else classifier.shape[0]


__all__ = ["count_classes", "plan_conversion", "vit_adapter_config"]
