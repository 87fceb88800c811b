"""What is particular to the conversion of SegViT: its names, its losses, and the settings that it refuses."""

import copy
from typing import Any

import pytest
import torch

from segvit_hf.conversion import ConversionError, convert_checkpoint
from tests.reference import load_case


def convert(name: str = "tiny-atm3", **changes: Any) -> Any:
    case = load_case("segvit", name)
    arch = copy.deepcopy(case.arch)
    for path, value in changes.items():
        *sections, field = path.split("__")
        target = arch
        for section in sections:
            target = target[section]
        target[field] = value
    return convert_checkpoint("segvit", case.state_dict(), {"model": arch})


def test_the_report_names_the_shrunk_decoder_as_ours() -> None:
    report = convert("tiny-tpn").report
    assert report["decode_head.input_proj_1.weight"] == "decoder.stages.0.input_projection.weight"
    assert report["decode_head.atm.q.weight"] == "decoder.atm.class_queries.weight"
    assert report["decode_head.loss_decode.criterion.empty_weight"].startswith("dropped: class weights")


def test_half_precision_weights_become_float32() -> None:
    case = load_case("segvit", "tiny-atm1")
    state_dict = {key: weight.half() for key, weight in case.state_dict().items()}
    model = convert_checkpoint("segvit", state_dict, {"model": case.arch}).model
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert torch.equal(model.decoder.class_queries.weight, state_dict["decode_head.q.weight"].float())


def test_a_converted_model_can_be_trained() -> None:
    model = convert("tiny-atm1").model.train()
    labels = torch.randint(0, 6, (2, 64, 64))
    model(torch.randn(2, 3, 64, 64), labels=labels).loss.backward()
    assert model.encoder.embeddings.patch_embeddings.weight.grad is not None


def test_classes_and_palette_are_stored_in_the_configuration() -> None:
    case = load_case("segvit", "tiny-atm1")
    original = {"model": case.arch, "classes": list("abcdef"), "palette": [(i, i, i) for i in range(6)]}
    config = convert_checkpoint("segvit", case.state_dict(), original).model.config
    assert config.id2label == dict(enumerate("abcdef"))
    assert config.label2id["f"] == 5
    assert config.palette[5] == [5, 5, 5]


@pytest.mark.parametrize(("key", "count"), [("classes", 5), ("palette", 7)])
def test_as_many_names_and_colors_as_classes(key: str, count: int) -> None:
    case = load_case("segvit", "tiny-atm1")
    values: list[Any] = [str(i) for i in range(count)] if key == "classes" else [(0, 0, 0)] * count
    with pytest.raises(ConversionError, match=rf"{key}: expected 6 .* found {count}"):
        convert_checkpoint("segvit", case.state_dict(), {"model": case.arch, key: values})


def test_loss_weights_are_multiplied_by_the_overall_weight() -> None:
    config = convert(decode_head__loss_decode={**load_case("segvit", "tiny-atm3").arch["decode_head"]["loss_decode"],
                                               "loss_weight": 0.5, "dec_layers": 2}).model.config  # fmt: skip
    assert (config.class_loss_weight, config.mask_loss_weight, config.dice_loss_weight) == (0.5, 10.0, 0.5)
    assert config.num_supervised_outputs == 2


def test_whole_mode_has_no_sliding_window() -> None:
    assert convert(test_cfg={"mode": "whole"}).model.config.sliding_window is None


def test_raw_configurations_get_the_originals_defaults() -> None:
    case = load_case("segvit", "tiny-atm3")
    arch = copy.deepcopy(case.arch)
    for field in ("act_cfg", "patch_norm", "num_fcs", "norm_eval", "with_cp", "mlp_ratio", "qkv_bias"):
        del arch["backbone"][field]
    for field in ("CE_loss", "act_cfg", "ignore_index", "align_corners", "sampler", "use_proj"):
        del arch["decode_head"][field]
    arch["type"] = arch.pop("segmentor")
    resolved, raw = (
        convert_checkpoint("segvit", case.state_dict(), {"model": model}).model.config.to_dict()
        for model in (case.arch, arch)
    )
    assert raw == resolved


def test_a_norm_without_epsilon_has_torchs() -> None:
    assert convert(backbone__norm_cfg={"type": "LN"}).model.config.layer_norm_eps == 1e-5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decode_head__CE_loss": True}, r"model\.decode_head\.CE_loss = True is not supported: expected False"),
        ({"decode_head__act_cfg": {"type": "GELU"}}, r"model\.decode_head\.act_cfg"),
        ({"decode_head__type": "SegformerHead"}, r"model\.decode_head\.type = 'SegformerHead'"),
        ({"decode_head__align_corners": True}, r"model\.decode_head\.align_corners"),
        ({"decode_head__loss_decode": {"type": "CrossEntropyLoss"}}, r"model\.decode_head\.loss_decode\.type"),
        ({"decode_head__surprise": 3}, r"model\.decode_head: fields .*'surprise' = 3"),
        ({"decode_head__in_channels": 7}, r"model\.decode_head\.in_channels = 7"),
        ({"backbone__norm_cfg": {"type": "BN"}}, r"model\.backbone\.norm_cfg\.type = 'BN'"),
        ({"backbone__act_cfg": {"type": "ReLU"}}, r"model\.backbone\.act_cfg"),
        ({"backbone__patch_norm": True}, r"model\.backbone\.patch_norm"),
        ({"backbone__type": "SwinTransformer"}, r"model\.backbone\.type"),
        ({"backbone__embed_dims": "48"}, r"model\.backbone\.embed_dims: expected a whole number, found '48'"),
        ({"auxiliary_head": {"type": "FCNHead"}}, r"model\.auxiliary_head"),
        ({"test_cfg": {"mode": "slide", "crop_size": [64, 64]}}, r"model\.test_cfg: the field 'stride' is missing"),
        ({"test_cfg": {"mode": "tiles"}}, r"model\.test_cfg\.mode = 'tiles'"),
        ({"surprise": None}, r"model: fields .*'surprise'"),
        ({"backbone__num_heads": 7}, "num_attention_heads"),
    ],
)
def test_unsupported_configurations_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConversionError, match=message):
        convert(**changes)


def test_the_class_count_is_read_from_the_weights() -> None:
    loss = {**load_case("segvit", "tiny-atm3").arch["decode_head"]["loss_decode"], "num_classes": 8}
    message = "The configuration has 8 classes, the weights have 7"
    with pytest.raises(ConversionError, match=message):
        convert(decode_head__num_classes=8, decode_head__loss_decode=loss)


def test_missing_unexpected_and_misshapen_keys_are_all_listed() -> None:
    case = load_case("segvit", "tiny-atm3")
    state_dict = case.state_dict()
    del state_dict["backbone.layers.3.ffn.layers.0.0.bias"]
    del state_dict["decode_head.decoder_2.layers.1.self_attn.in_proj_weight"]
    state_dict["backbone.extra"] = torch.zeros(2)
    state_dict["backbone.pos_embed"] = torch.zeros(1, 5, 48)
    with pytest.raises(ConversionError) as error:
        convert_checkpoint("segvit", state_dict, {"model": case.arch})
    message = str(error.value)
    assert "missing (2):" in message
    assert "backbone.layers.3.ffn.layers.0.0.bias [192]" in message
    assert "decode_head.decoder_2.layers.1.self_attn.in_proj_weight [72, 24]" in message
    assert "unexpected (1):\n  backbone.extra [2]" in message
    assert "backbone.pos_embed: expected [1, 17, 48], found [1, 5, 48]" in message


def test_deeper_weights_than_the_configuration_are_unexpected() -> None:
    arch = copy.deepcopy(load_case("segvit", "tiny-atm3").arch)
    arch["backbone"].update(num_layers=4, out_indices=[1, 2, 3])
    with pytest.raises(ConversionError, match=r"unexpected \(24\):(.|\n)*backbone\.layers\.5"):
        convert_checkpoint("segvit", load_case("segvit", "tiny-atm3").state_dict(), {"model": arch})


def test_shrunk_files_with_leftover_layers_convert() -> None:
    case = load_case("segvit", "tiny-tpn")
    leftovers = ["conv_0.weight", "conv_1.bias", "syncbn_fc_0.running_mean", "conv_seg.weight"]
    state_dict = case.state_dict() | {f"decode_head.{key}": torch.zeros(1) for key in leftovers}
    report = convert_checkpoint("segvit", state_dict, {"model": case.arch}).report
    for key in leftovers:
        assert report[f"decode_head.{key}"].startswith("dropped: "), key


def test_labels_are_ignored_where_the_original_ignores_them() -> None:
    case = load_case("segvit", "tiny-atm1")
    arch = {**case.arch, "decode_head": {**case.arch["decode_head"], "ignore_index": 77}}
    converted = convert_checkpoint("segvit", case.state_dict(), {"model": arch})
    assert converted.model.config.semantic_loss_ignore_index == 77
    assert converted.image_processor.ignore_index == 77
