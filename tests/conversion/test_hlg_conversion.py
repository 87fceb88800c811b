"""Which reading of HLG's classification code a file is of, and models that start from a classifier."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageClassification

import segvit_hf
from segvit_hf.cli.main import main
from segvit_hf.conversion import ConversionError, convert_checkpoint
from segvit_hf.conversion.convert import match_weights
from segvit_hf.conversion.families import FAMILIES
from segvit_hf.conversion.hlg.names import read_weights
from segvit_hf.conversion.pretrained_encoders import load_pretrained_encoder
from segvit_hf.models.hlg.modeling_hlg import HlgForImageClassification
from tests.models.hlg.reference_models import convert, original_of
from tests.reference import load_case


def fill(state_dict: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Real tensors of the shapes on the meta device."""
    return {key: torch.ones(value.shape, dtype=value.dtype) for key, value in state_dict.items()}


def test_depths_are_read_off_the_file_and_reported() -> None:
    case = load_case("hlg", "tiny-cls")
    original = original_of(case)
    stated = {**original, "model": {**case.arch, "depths": [2, 2, 14, 2]}}
    converted = convert_checkpoint("hlg", case.state_dict(), stated)
    assert converted.model.config.depths == [2, 2, 3, 2]
    assert converted.reading == ("depths: [2, 2, 3, 2] as in the weights; the configuration says [2, 2, 14, 2].",)
    assert convert(case).reading == ()
    incomplete = {key: value for key, value in case.state_dict().items() if not key.startswith("block3.1.")}
    with pytest.raises(ConversionError, match=r"missing .*\n.*block3\.1\."):
        convert_checkpoint("hlg", incomplete, original)


def test_widths_of_the_feed_forward_layers_are_read_off_the_file() -> None:
    """The published constructor makes them four times as wide as the output, and smooths in the last stage, too."""
    case = load_case("hlg", "tiny-cls")
    config = segvit_hf.HlgConfig(**reading_of(case), mlp_width_of="output", num_labels=10)
    ours = HlgForImageClassification(config).eval()
    weights = published_constructor(case.state_dict(), ours)
    assert read_weights(weights) == {"depths": [2, 2, 3, 2], "mlp_ratio": 4.0, "mlp_width_of": "output"}
    converted = convert_checkpoint("hlg", weights, original_of(case))
    assert converted.model.config.mlp_width_of == "output"
    dropped = {key for key, line in converted.report.items() if line.startswith("dropped: ")}
    assert dropped == {key for key in weights if key.startswith("block4.") and ".spatial_smooth." in key}


def reading_of(case: Any) -> dict[str, Any]:
    arch = case.arch
    return {"hidden_sizes": arch["embed_dims"], "depths": arch["depths"], "num_attention_heads": arch["num_heads"]}


def published_constructor(
    state_dict: dict[str, torch.Tensor], ours: HlgForImageClassification
) -> dict[str, torch.Tensor]:
    """Weights with the shapes that the published constructor makes."""
    names = {0: "expansion.convolution", 1: "expansion.norm", 2: "depthwise.convolution", 3: "depthwise.norm"}
    parts = {"mlp.fc1": names[0], "mlp.norm1": names[1], "mlp.fc2": names[2], "mlp.norm2": names[3]}
    shapes = ours.state_dict()
    weights = dict(state_dict)
    for key in state_dict:
        stage, _, rest = key.partition(".0.")
        for theirs, our_name in {**parts, "mlp.fc3": "projection"}.items():
            if stage.startswith("block") and rest.startswith(f"{theirs}."):
                leaf = rest.removeprefix(f"{theirs}.")
                name = f"encoder.stages.{int(stage[5:]) - 1}.0.mlp.{our_name}.{leaf}"
                weights[key] = torch.ones(shapes[name].shape, dtype=shapes[name].dtype)
    for key in [key for key in state_dict if key.startswith("block3.0.spatial_smooth.")]:
        for layer in range(2):
            weights[key.replace("block3.0", f"block4.{layer}")] = torch.ones(1)
    return weights


@pytest.mark.parametrize(("name", "depth"), [("full-cls-large-224", 14), ("full-cls-large-224-depth18", 18)])
def test_a_preset_takes_the_depths_of_its_file(name: str, depth: int) -> None:
    """Which of the two HLG-Large's file is nobody knows before it is read."""
    weights = load_case("hlg", name).meta_state_dict()
    preset, family = segvit_hf.get_preset("hlg-large-imagenet"), FAMILIES["hlg"]
    config = preset.build_config(**family.read_weights(weights))
    _, match = match_weights(weights, config)
    assert set(match.report) == set(weights)
    assert config.depths == [2, 2, depth, 2]
    assert len(family.reading(preset.build_config().to_dict(), weights)) == (depth == 18)
    assert config.id2label[0] == "tench"


def test_a_task_that_there_is_not_is_refused() -> None:
    case = load_case("hlg", "tiny-cls")
    with pytest.raises(ConversionError, match="task: expected one of segmentation, .*found 'depth'"):
        convert_checkpoint("hlg", case.state_dict(), {"model": case.arch, "task": "depth"})


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("tiny-seg", {"decode_head": {"fuse_level": 1}}, r"model\.decode_head\.fuse_level = 1 is not supported"),
        ("tiny-seg", {"backbone": {"h0_att": True}}, r"model\.backbone\.h0_att = True is not supported"),
        ("tiny-seg", {"backbone": {"depths": [2, 2]}}, r"model\.backbone\.depths: expected 4 whole numbers"),
        ("tiny-det", {"neck": {"start_level": 0}}, r"model\.neck\.start_level = 0 is not supported"),
        ("tiny-det", {"bbox_head": {"feat_channels": 8}}, r"model\.bbox_head\.feat_channels = 8 is not supported"),
        ("tiny-det", {"neck": {"relu_before_extra_convs": True}}, "relu_before_extra_convs = True is not supported"),
    ],
)
def test_what_is_not_supported_is_named(name: str, change: dict[str, Any], message: str) -> None:
    case = load_case("hlg", name)
    original = original_of(case)
    model = {**original["model"], **{part: {**case.arch[part], **fields} for part, fields in change.items()}}
    with pytest.raises(ConversionError, match=message):
        convert_checkpoint("hlg", case.state_dict(), {**original, "model": model})


@pytest.mark.parametrize("model_class", ["HlgForSemanticSegmentation", "HlgForObjectDetection", "HlgBackbone"])
def test_a_classifier_starts_a_model_of_another_task(model_class: str, tmp_path: Path) -> None:
    case = load_case("hlg", "tiny-cls")
    converted = convert(case)
    converted.model.save_pretrained(tmp_path / "classifier")
    torch.save({"model": case.state_dict()}, tmp_path / "classifier.pth")
    fields = {"decoder_hidden_size": 32, "pyramid_hidden_size": 16, "num_labels": 4}
    for source in (tmp_path / "classifier", tmp_path / "classifier.pth"):
        model = getattr(segvit_hf, model_class)(segvit_hf.HlgConfig(**reading_of(case), **fields))
        report = load_pretrained_encoder(model, source)
        assert sum(line.startswith("dropped: ") for line in report.values()) == 2
        for name, value in converted.model.encoder.state_dict().items():
            assert torch.equal(model.encoder.state_dict()[name], value), name
        assert model.encoder.norms["0"].weight.eq(1).all()
    other = getattr(segvit_hf, model_class)(segvit_hf.HlgConfig(num_labels=4))
    with pytest.raises(ConversionError, match="do not fit the configuration of this HLG encoder"):
        load_pretrained_encoder(other, tmp_path / "classifier")
    with pytest.raises(ConversionError, match="no such file"):
        load_pretrained_encoder(other, tmp_path / "nothing")


def test_the_command_converts_a_classifier_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = load_case("hlg", "tiny-cls")
    torch.save({"model": case.state_dict(), "epoch": 3}, tmp_path / "mine.pth")
    original = {"model": {**case.arch, "depths": [2, 2, 6, 2]}, "task": "classification"}
    (tmp_path / "original.json").write_text(json.dumps(original))
    words = ["--family", "hlg", "--config", str(tmp_path / "original.json"), str(tmp_path / "mine.pth")]
    assert main(["convert", *words, "--output", str(tmp_path / "out")]) == 0
    assert "depths: [2, 2, 3, 2] as in the weights" in capsys.readouterr().err
    assert "pipeline_tag: image-classification" in (tmp_path / "out" / "README.md").read_text()
    model = AutoModelForImageClassification.from_pretrained(tmp_path / "out")
    with torch.no_grad():
        expected = convert(case).model(case.pixel_values()).logits
        assert torch.equal(model(case.pixel_values()).logits, expected)
