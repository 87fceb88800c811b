"""What is read of DINOv2's and DINOv3's configurations, and what is refused by name."""

import copy
from typing import Any

import pytest

from segvit_hf.conversion import ConversionError, convert_checkpoint
from segvit_hf.conversion.families import FAMILIES
from tests.reference import load_case

LINEAR2, ADAPTER2 = ("dinov2", "tiny-linear-native"), ("dinov2", "tiny-m2f-adapter")
LINEAR3, ADAPTER3 = ("dinov3", "tiny-linear-four"), ("dinov3", "tiny-m2f-vits")


def changed(case: tuple[str, str], path: str, value: Any) -> dict[str, Any]:
    """The original's configuration of a case with another value at a path such as `backbone.depth`."""
    original = {"model": copy.deepcopy(load_case(*case).arch)}
    section = original["model"]
    *parents, last = path.split(".")
    for parent in parents:
        section = section[parent]
    section[last] = value
    return original


@pytest.mark.parametrize(
    ("case", "path", "value", "message"),
    [
        (LINEAR2, "backbone.num_register_tokens", 4, "num_register_tokens = 4 is not supported: expected 0"),
        (LINEAR2, "backbone.interpolate_antialias", True, "interpolate_antialias = True is not supported"),
        (LINEAR2, "backbone.norm_of_intermediate_layers", False, "norm_of_intermediate_layers = False is not"),
        (LINEAR2, "backbone.center_padding", 16, "center_padding = 16 is not supported: expected 14"),
        (LINEAR2, "backbone.ffn_layer", "identity", "ffn_layer = 'identity' is not supported"),
        (
            LINEAR2,
            "backbone.out_indices",
            [1, 2, 3, 9],
            r"expected ascending layers from 0 to 4, found \[1, 2, 3, 9\]",
        ),
        (LINEAR2, "backbone.extra", 1, "fields that this conversion does not know: 'extra' = 1"),
        (LINEAR2, "decode_head.in_index", [7], "expected ascending numbers of the backbone's 4 feature maps"),
        (LINEAR2, "decode_head.dropout_ratio", 0.1, "dropout_ratio = 0.1 is not supported: expected 0"),
        (LINEAR2, "decode_head.resize_factors", [2.0], r"resize_factors = \[2.0\] is not supported"),
        (ADAPTER2, "backbone.ffn_type", "moe", "ffn_type = 'moe' is not supported"),
        (ADAPTER2, "backbone.extra", 1, "fields that this conversion does not know: 'extra' = 1"),
        (LINEAR3, "backbone.mask_k_bias", False, "mask_k_bias = False is not supported"),
        (LINEAR3, "backbone.pos_embed_rope_normalize_coords", "max", "normalize_coords = 'max' is not supported"),
        (LINEAR3, "backbone.extra", 1, "fields that this conversion does not know: 'extra' = 1"),
        (LINEAR3, "decode_head.use_cls_token", True, "use_cls_token = True is not supported"),
        (LINEAR3, "decode_head.in_channels", [64, 32], "in_channels: expected 64 for each of the layers"),
        (LINEAR3, "out_indices", [12], r"out_indices: expected ascending layers from 0 to 11, found \[12\]"),
        (LINEAR3, "decoder_type", "dpt", "decoder_type = 'dpt' is not supported"),
        (ADAPTER3, "adapter.interaction_indexes", [0, 1], "interaction_indexes = .* is not supported"),
        (ADAPTER3, "adapter.with_cffn", False, "with_cffn = False is not supported"),
        (ADAPTER3, "decode_head.group_norm_groups", 16, "group_norm_groups = 16 is not supported"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(case: tuple[str, str], path: str, value: Any, message: str) -> None:
    with pytest.raises(ConversionError, match=message):
        FAMILIES[case[0]].config_from_original(changed(case, path, value))


def test_linear_heads_of_dinov2_read_the_maps_that_they_choose() -> None:
    config = FAMILIES["dinov2"].config_from_original({"model": load_case(*LINEAR2).arch})
    assert config.encoder_out_indices == [4]
    assert (config.backbone_padding, config.position_embedding_offset) == ("center", 0.1)
    assert (config.use_final_norm, config.normalize_feature_maps) == (True, True)
    config = FAMILIES["dinov2"].config_from_original({"model": load_case("dinov2", "tiny-ms-swiglu-pad").arch})
    assert config.encoder_out_indices == [0, 1, 2, 3]
    assert (config.intermediate_size, config.hidden_act) == (176, "silu")


@pytest.mark.parametrize("ffn_type", ["mlp", "swiglu"])
def test_adapters_of_dinov2_may_be_without_class_token(ffn_type: str) -> None:
    original = changed(ADAPTER2, "backbone.use_cls", False)
    original["model"]["backbone"]["ffn_type"] = ffn_type
    config = FAMILIES["dinov2"].config_from_original(original)
    assert (config.use_class_token, config.use_gated_mlp) == (False, ffn_type == "swiglu")
    assert config.intermediate_size == (128 if ffn_type == "swiglu" else 192)


@pytest.mark.parametrize(("kind", "width"), [("mlp", 192), ("swiglu", 128), ("swiglu64", 128)])
def test_widths_of_dinov3s_feed_forward_layers(kind: str, width: int) -> None:
    original = changed(LINEAR3, "backbone.ffn_layer", kind)
    original["model"]["backbone"]["ffn_ratio"] = 3
    backbone = FAMILIES["dinov3"].config_from_original(original).backbone_config
    assert (backbone.intermediate_size, backbone.use_gated_mlp) == (width, kind != "mlp")


def test_the_protocol_of_the_released_segmentor() -> None:
    case = load_case("dinov3", "full-vit7b16-ade20k-m2f")
    original = {"model": case.arch, "protocol": case.meta["protocol"]}
    config = FAMILIES["dinov3"].config_from_original(original)
    assert config.sliding_window == {"crop_size": [896, 896], "stride": [596, 596]}
    assert config.square_small_inputs
    processor = FAMILIES["dinov3"].image_processor_from_original(original)
    assert (processor.resize_method, processor.do_reduce_labels, processor.size_divisor) == ("pil", True, None)
    assert processor.get_input_geometry(300, 451).network_input == (896, 1347)
    assert processor.get_input_geometry(300, 451, 0.9).network_input == (832, 1251)


@pytest.mark.parametrize(("case", "short_edge"), [(LINEAR2, 70), (ADAPTER2, 96), (LINEAR3, 512), (ADAPTER3, 896)])
def test_without_a_protocol_photos_are_resized_as_in_the_originals_configurations(
    case: tuple[str, str], short_edge: int
) -> None:
    original = {"model": load_case(*case).arch, "protocol": None}
    processor = FAMILIES[case[0]].image_processor_from_original(original)
    assert dict(processor.size) == {"shortest_edge": short_edge}
    assert list(processor.image_mean) == [0.485, 0.456, 0.406]


def test_dinov2s_pipeline_has_no_limit_of_the_long_side() -> None:
    case = load_case(*LINEAR2)
    original = {"model": case.arch, "test_pipeline": case.meta["test_pipeline"]}
    processor = FAMILIES["dinov2"].image_processor_from_original(original)
    assert dict(processor.size) == {"shortest_edge": 70}
    assert processor.get_input_geometry(10, 1000).network_input == (70, 7000)


def test_whole_inference_of_dinov3_is_refused() -> None:
    original = {"model": load_case(*LINEAR3).arch, "protocol": {"kind": "whole"}}
    with pytest.raises(ConversionError, match="protocol.kind = 'whole' is not supported: expected 'slide'"):
        FAMILIES["dinov3"].image_processor_from_original(original)


def test_an_adapter_of_dinov2_without_class_token_converts() -> None:
    case = load_case(*ADAPTER2)
    weights = {key: tensor for key, tensor in case.state_dict().items() if key != "backbone.cls_token"}
    converted = convert_checkpoint("dinov2", weights, changed(ADAPTER2, "backbone.use_cls", False))
    assert converted.model.encoder.embeddings.position_embeddings.shape[1] == 25
