"""What only happens in training: stochastic depth, dropout, one pass over inputs that eval mode runs in windows."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from segvit_hf.layers.attention import Attention
from segvit_hf.layers.drop_path import DropPath
from segvit_hf.models.semantic_segmentation import SemanticSegmentationModel
from tests.models.architectures import NUM_LABELS, SMALL_MODELS, SmallModel

NUM_LAYERS = 4
SCHEDULE = [0.0, 0.1, 0.2, 0.3]
# Every rate of the configurations, each with a value of its own.
RATES = {
    "hidden_dropout_prob": 0.11,
    "attention_probs_dropout_prob": 0.12,
    "decoder_dropout": 0.13,
    "classifier_dropout": 0.14,
}
DROPOUTS = {
    r"encoder\.embeddings\.dropout": "hidden_dropout_prob",
    r"encoder\.layers\.\d\.attention_dropout": "hidden_dropout_prob",
    r"encoder\.layers\.\d\.mlp\.dropout": "hidden_dropout_prob",
    r"encoder\.layers\.\d\.attention": "attention_probs_dropout_prob",
    r"encoder\.stages\.\d\.\d\.(mlp\.dropout|attention\.global_attention\.output_dropout)": "hidden_dropout_prob",
    r"encoder\.stages\.\d\.\d\.attention\.global_attention": "attention_probs_dropout_prob",
    r"decoder\.(atm\.)?stages\.\d\.layers\.\d\.(dropout|mlp\.dropout)": "decoder_dropout",
    r"decoder\.(atm\.)?stages\.\d\.layers\.\d\.(self|cross|mask)_attention": "decoder_dropout",
    r"decoder\.layers\.\d\.(attention|attention_dropout|mlp\.dropout)": "decoder_dropout",
    r"(decoder|auxiliary_head)\.dropout": "decoder_dropout",
    r"auxiliary_heads\.\d\.dropout": "classifier_dropout",
}


HLG_WITHOUT_DROPOUT = r".*\.local_attention|decoder\.layers\..*"


def rates_of(small_model: SmallModel, **values: float) -> dict[str, Any]:
    """All rates that the architecture has: 0 unless a value is given."""
    config = small_model.build().config
    return {name: values.get(name, 0.0) for name in config.probability_fields}


def decoder_type_of(config: Any) -> str | None:
    """HLG's configuration has one decoder and no such field."""
    return getattr(config, "decoder_type", None)


def dropout_probabilities(model: nn.Module) -> dict[str, float]:
    """By the module's name: of dropouts, and of the probabilities of attentions."""
    modules = dict(model.named_modules())
    found = {name: module.p for name, module in modules.items() if isinstance(module, nn.modules.dropout._DropoutNd)}
    return found | {name: module.dropout for name, module in modules.items() if isinstance(module, Attention)}


def test_every_dropout_has_the_rate_of_its_field(small_model: SmallModel) -> None:
    model = small_model.build(**rates_of(small_model, **RATES))
    found = dropout_probabilities(model)
    assert found
    for name, probability in found.items():
        fields = [field for pattern, field in DROPOUTS.items() if re.fullmatch(pattern, name)]
        if re.fullmatch(HLG_WITHOUT_DROPOUT, name) and small_model.model_type == "hlg":
            assert probability == 0.0, name  # the original's windows and decoder layers have none
            continue
        if small_model.model_type == "setr" and name == "decoder.dropout":
            fields = ["classifier_dropout"]
        if decoder_type_of(model.config) == "mask2former" and name.startswith("decoder."):
            assert probability == 0.0, name  # the original's has no dropout at all
            continue
        assert len(fields) == 1, f"{name}: {fields}"
        assert probability == RATES[fields[0]], name


@pytest.mark.parametrize("name", RATES)
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_every_rate_acts_in_training_alone(name: str, attention: str, small_model: SmallModel) -> None:
    config = small_model.build().config
    decoder_type = decoder_type_of(config)
    if name not in config.probability_fields or (decoder_type, name) == ("mask2former", "decoder_dropout"):
        return
    if (config.model_type, decoder_type, name) == ("segmenter", "linear", "decoder_dropout"):
        return
    pixel_values = torch.randn(2, 3, 64, 64)
    for rate in (0.0, 0.5):
        model = small_model.build(**rates_of(small_model, **{name: rate}), attn_implementation=attention)
        model.config._attn_implementation = attention
        for mode in (True, False):
            model.train(mode)
            with torch.no_grad():
                first, second = (model(pixel_values).logits for _ in range(2))
            assert torch.equal(first, second) == (rate == 0.0 or not mode)


def test_attention_probabilities_are_dropped_at_the_rate() -> None:
    model = SMALL_MODELS["segmenter"].build(attention_probs_dropout_prob=0.25, attn_implementation="eager").train()
    attention = model.encoder.layers[0].attention
    with torch.no_grad():
        _, probabilities = attention(torch.randn(8, 200, 32), output_attentions=True)
    dropped = (probabilities == 0).float().mean().item()
    assert dropped == pytest.approx(0.25, abs=0.01)
    assert probabilities.sum(-1).mean().item() == pytest.approx(1.0, abs=0.01)


def test_stochastic_depth_rises_linearly(plain_vit: SmallModel) -> None:
    model = plain_vit.build(drop_path_rate=0.3)
    layers = model.encoder.layers
    assert len(layers) == NUM_LAYERS
    assert [layer.drop_path.drop_prob for layer in layers] == pytest.approx(SCHEDULE)
    on_attention = {"segvit": [0.0] * NUM_LAYERS}.get(plain_vit.model_type, SCHEDULE)
    assert [layer.attention_drop_path.drop_prob for layer in layers] == pytest.approx(on_attention)


def test_stochastic_depth_of_the_attention_is_a_choice(plain_vit: SmallModel) -> None:
    for choice in (True, False):
        model = plain_vit.build(drop_path_rate=0.3, drop_path_on_attention=choice)
        found = [layer.attention_drop_path.drop_prob for layer in model.encoder.layers]
        assert found == pytest.approx(SCHEDULE if choice else [0.0] * NUM_LAYERS)


@pytest.mark.parametrize("name", ["vit-adapter-upernet", "vit-adapter-beit-mask2former"])
def test_extractors_have_the_whole_rate(name: str) -> None:
    model = SMALL_MODELS[name].build(drop_path_rate=0.3)
    extractors = [
        extractor
        for interaction in model.encoder.interactions
        for extractor in (interaction.extractor, *interaction.extra_extractors)
    ]
    assert [extractor.drop_path.drop_prob for extractor in extractors] == [0.3] * 6


def test_segmenters_decoder_has_a_schedule_of_its_own() -> None:
    model = SMALL_MODELS["segmenter"].build(drop_path_rate=0.0, decoder_drop_path_rate=0.3, decoder_num_layers=4)
    for name in ("drop_path", "attention_drop_path"):
        assert [getattr(layer, name).drop_prob for layer in model.decoder.layers] == pytest.approx(SCHEDULE)
        assert {getattr(layer, name).drop_prob for layer in model.encoder.layers} == {0.0}


def test_the_default_rates_are_the_originals() -> None:
    rates = {"segvit": 0.1, "segmenter": 0.1, "setr-pup": 0.0, "vit-adapter-upernet": 0.1}
    for name, rate in rates.items():
        assert SMALL_MODELS[name].build().encoder.layers[-1].drop_path.drop_prob == pytest.approx(rate)


def test_drop_path_drops_whole_samples_and_keeps_the_mean() -> None:
    layer, ones = DropPath(0.4).train(), torch.ones(10_000, 3, 2)
    found = layer(ones)
    torch.testing.assert_close(found.unique(), torch.tensor([0.0, 1 / 0.6]))
    assert torch.equal(found, found[:, :1, :1].expand_as(found))  # one decision a sample
    assert found.mean().item() == pytest.approx(1.0, abs=0.03)
    assert torch.equal(layer.eval()(ones), ones)
    assert torch.equal(DropPath(0.0).train()(ones), ones)


@pytest.mark.parametrize("branch", ["attention", "mlp"])
def test_a_dropped_branch_leaves_the_residual(branch: str) -> None:
    model = SMALL_MODELS["segmenter"].build(drop_path_rate=0.9).train()
    layer = model.encoder.layers[-1]
    dropped, other = (
        (layer.attention_drop_path, layer.drop_path)
        if branch == "attention"
        else (layer.drop_path, layer.attention_drop_path)
    )
    dropped.drop_prob, other.drop_prob = 1 - 1e-12, 0.0
    hidden_states = torch.randn(4, 17, 32)
    with torch.no_grad():
        found = layer(hidden_states)
        expected = (
            hidden_states + layer.mlp(layer.norm2(hidden_states))
            if branch == "attention"
            else hidden_states + layer.attention(layer.norm1(hidden_states))[0]
        )
    torch.testing.assert_close(found, expected)


def test_stochastic_depth_acts_in_training_alone(small_model: SmallModel) -> None:
    model = small_model.build(**rates_of(small_model, drop_path_rate=0.5))
    pixel_values = torch.randn(8, 3, 64, 64)
    for mode in (True, False):
        model.train(mode)
        with torch.no_grad():
            first, second = (model(pixel_values).logits for _ in range(2))
        assert torch.equal(first, second) == (not mode)


@pytest.mark.parametrize(
    ("training", "labeled", "sizes"),
    [
        (True, True, [(80, 96)]),
        (True, False, [(80, 96)]),
        (False, False, [(64, 64)]),
        (False, True, [(80, 96), (64, 64)]),
    ],
)
def test_in_training_an_input_is_run_whole_and_once(
    training: bool,
    labeled: bool,
    sizes: list[tuple[int, int]],
    small_model: SmallModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = small_model.build(sliding_window=((64, 64), (64, 64))).train(training)
    seen: list[tuple[int, int]] = []
    encode_decode: Callable[..., Any] = SemanticSegmentationModel.encode_decode

    def recorded(self: Any, pixel_values: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        seen.append(tuple(pixel_values.shape[-2:]))
        return encode_decode(self, pixel_values, *args, **kwargs)

    monkeypatch.setattr(SemanticSegmentationModel, "encode_decode", recorded)
    labels = torch.randint(NUM_LABELS, (2, 80, 96)) if labeled else None
    output = model(torch.randn(2, 3, 80, 96), labels=labels)
    assert seen == sizes
    assert output.logits.shape == (2, NUM_LABELS, 80, 96)
