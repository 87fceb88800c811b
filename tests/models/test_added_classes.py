"""Classes that are added to a trained model: older ones keep their ids and, with the rest frozen, their scores."""

from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from torch import nn
from transformers import AutoModelForSemanticSegmentation

from tests.models.architectures import NUM_LABELS, SMALL_MODELS

WITH_QUERIES = ["segvit", "segvit-shrunk", "segvit-v2", "segvit-v2-beit", "segmenter"]
NEW = ["tree", "lamp", "sofa"]
GROWING = [(name, share) for name in WITH_QUERIES for share in (False, True)]


def logits_of(model: nn.Module, pixel_values: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(pixel_values).logits


def in_aligned_memory(model: nn.Module) -> nn.Module:
    """Weights where torch puts them: a file is mapped wherever its header ends, and BLAS may round by the address."""
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()
    return model


@pytest.fixture
def pixel_values() -> torch.Tensor:
    return torch.randn(2, 3, 64, 96)


def train_newest_group(model: nn.Module, steps: int = 3) -> None:
    trained = model.freeze_older_classes()
    assert trained
    model.train()
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=0.05, weight_decay=0.5)
    labels = torch.randint(NUM_LABELS, model.config.num_labels, (2, 64, 64))
    for _ in range(steps):
        model(torch.randn(2, 3, 64, 64), labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize(("name", "share"), GROWING)
def test_older_classes_keep_their_scores_bit_for_bit(
    name: str, share: bool, pixel_values: torch.Tensor, tmp_path: Path
) -> None:
    model = SMALL_MODELS[name].build(drop_path_rate=0.2, hidden_dropout_prob=0.1)
    before = logits_of(model, pixel_values)
    model.add_classes(NEW, share_decoder=share)
    grown = logits_of(model, pixel_values)
    assert grown.shape[1] == NUM_LABELS + 3
    assert torch.equal(grown[:, :NUM_LABELS], before)

    train_newest_group(model)
    trained = logits_of(model, pixel_values)
    assert torch.equal(trained[:, :NUM_LABELS], before)
    assert not torch.allclose(trained[:, NUM_LABELS:], grown[:, NUM_LABELS:])

    model.save_pretrained(tmp_path)
    loaded = in_aligned_memory(AutoModelForSemanticSegmentation.from_pretrained(tmp_path))
    assert torch.equal(logits_of(loaded, pixel_values), trained)
    loaded.add_classes(["rug", "door"])
    assert torch.equal(logits_of(loaded, pixel_values)[:, : NUM_LABELS + 3], trained)
    assert loaded.config.class_counts == [NUM_LABELS, 3, 2]


@pytest.mark.parametrize("name", WITH_QUERIES)
def test_a_grown_model_is_that_of_its_configuration(name: str, pixel_values: torch.Tensor) -> None:
    model = SMALL_MODELS[name].build()
    model.add_classes(NEW)
    again = AutoModelForSemanticSegmentation.from_config(model.config).eval()
    again.load_state_dict(model.state_dict())
    assert torch.equal(logits_of(again, pixel_values), logits_of(model, pixel_values))


def test_new_queries_start_at_random_and_new_layers_as_copies() -> None:
    model = SMALL_MODELS["segvit-v2"].build()
    model.add_classes(NEW)
    group = model.decoder.newest_group()
    for own, copied in (("stages", model.decoder.stages), ("class_head", model.decoder.class_head)):
        for parameter, expected in zip(getattr(group, own).parameters(), copied.parameters(), strict=True):
            assert torch.equal(parameter, expected)
            assert parameter is not expected
    assert 0.5 < group.class_queries.weight.std() < 1.5


def test_names_and_steps_stand_in_the_configuration() -> None:
    model = SMALL_MODELS["segvit"].build()
    model.config.palette = [[0, 0, 0]] * NUM_LABELS
    labels = dict(model.config.id2label)
    model.add_classes(NEW)
    model.add_classes(["rug"])
    assert model.config.id2label == labels | {5: "tree", 6: "lamp", 7: "sofa", 8: "rug"}
    assert model.config.label2id["rug"] == 8
    assert (model.config.num_labels, model.config.added_class_counts) == (9, [3, 1])
    assert model.config.first_supervised_class == 8
    assert model.config.palette is None


def test_a_frozen_encoder_stays_in_eval_mode() -> None:
    model = SMALL_MODELS["segvit-v2"].build()
    model.add_classes(NEW)
    model.freeze_older_classes()
    model.train()
    assert not model.encoder.training
    assert not model.decoder.stages.training
    assert model.decoder.added_groups[0].training
    model.requires_grad_(True)
    assert model.train().encoder.training


@pytest.mark.parametrize("name", ["segvit", "segvit-v2"])
def test_old_classes_are_not_learned_to_be_absent(name: str) -> None:
    model = SMALL_MODELS[name].build(decoder_dropout=0.0, drop_path_rate=0.0)
    model.add_classes(NEW, share_decoder=False)
    model(torch.randn(1, 3, 64, 64), labels=torch.full((1, 64, 64), NUM_LABELS)).loss.backward()
    old, new = model.decoder.class_queries.weight.grad, model.decoder.newest_group().class_queries.weight.grad
    assert old is None or not old.any()
    assert new.abs().sum() > 0


def test_the_class_loss_may_begin_within_a_group() -> None:
    model = SMALL_MODELS["segvit-v2"].build(first_supervised_class=3, decoder_dropout=0.0, drop_path_rate=0.0)
    model(torch.randn(1, 3, 64, 64), labels=torch.full((1, 64, 64), 4)).loss.backward()
    gradient = model.decoder.class_queries.weight.grad
    assert not gradient[:3].any()
    assert gradient[3:].abs().sum(1).min() > 0


@pytest.mark.parametrize(
    ("name", "arguments", "error", "message"),
    [
        (
            "segvit",
            (["LABEL_0"],),
            ValueError,
            r"classes that the model does not have, each once, found \['LABEL_0'\]",
        ),
        ("segvit", (["a", "a"],), ValueError, r"found \['a'\]"),
        ("segvit", ([],), ValueError, "expected at least 1, found 0"),
        ("segmenter", (["a"],), ValueError, "expected at least 2, found 1"),
        ("segvit", ("tree",), TypeError, "expected a list of class names, found 'tree'"),
        ("segvit", ([1],), TypeError, "expected a list of class names"),
        ("segmenter-linear", (NEW,), ValueError, "class queries, found decoder_type = 'linear'"),
        ("segvit", ([str(i) for i in range(255)],), ValueError, "semantic_loss_ignore_index"),
    ],
)
def test_what_cannot_be_added_is_said_and_changes_nothing(
    name: str, arguments: Any, error: type[Exception], message: str
) -> None:
    model = SMALL_MODELS[name].build()
    before = model.config.to_dict()
    with pytest.raises(error, match=message):
        model.add_classes(*arguments)
    assert model.config.to_dict() == before


def test_all_groups_are_alike() -> None:
    model = SMALL_MODELS["segvit"].build()
    with pytest.raises(ValueError, match="expected a model with added classes"):
        model.freeze_older_classes()
    model.add_classes(NEW, share_decoder=True)
    with pytest.raises(ValueError, match="share_decoder: expected True .* found False"):
        model.add_classes(["rug"], share_decoder=False)


@pytest.mark.parametrize("counts", [[5], [0], [2, 3]])
def test_impossible_steps_are_refused(counts: list[int]) -> None:
    with pytest.raises((ValueError, StrictDataclassError), match="added_class_counts"):
        SMALL_MODELS["segvit"].build(added_class_counts=counts)
