"""Layer-wise learning-rate decay and ViT-Adapter's groups are, parameter by parameter, those of the original."""

from pathlib import Path

import pytest
import torch

from segvit_hf.conversion.convert import expected_shapes
from segvit_hf.conversion.families import FAMILIES
from segvit_hf.conversion.key_mapping import rename_key
from segvit_hf.training.optimization.layer_decay import layer_decay_multipliers
from segvit_hf.training.optimization.parameter_groups import optimizer_multipliers
from segvit_hf.training.recipe import LayerDecayRecipe, OptimizerRecipe, load_recipe
from tests.models.architectures import PLAIN_VITS, SMALL_MODELS, SmallModel
from tests.reference import case_names, load_case

RECIPES = Path(__file__).parents[2] / "training" / "recipes"
# A released recipe whose groups must be those of the case; the cases' rate and depth are those of their own models.
RECIPE_OF_CASE = {
    "optimizer-layer-decay-upernet-vit": "vit-adapter-upernet-deit-tiny-ade20k.yaml",
    "optimizer-layer-decay-mask2former-beit": "vit-adapter-mask2former-beit-large-ade20k-640.yaml",
    "optimizer-custom-keys-upernet-vit": "vit-adapter-upernet-augreg-base-ade20k.yaml",
}


@pytest.mark.parametrize("name", case_names("vit_adapter", "optimizer-*"))
def test_groups_of_the_recipes_equal_the_originals(name: str) -> None:
    case = load_case("vit_adapter", name)
    optimizer: OptimizerRecipe = load_recipe(RECIPES / RECIPE_OF_CASE[name]).optimizer
    assert optimizer.learning_rate == case.meta["optimizer"]["lr"]
    assert optimizer.weight_decay == case.meta["optimizer"]["weight_decay"]
    config = FAMILIES["vit_adapter"].config_from_original({"model": case.arch})
    rules = FAMILIES["vit_adapter"].rules(config)
    shapes = expected_shapes(config)
    ours = {key: rename_key(key, rules) for key in case.meta["params"]}
    parameters = {name: torch.empty(shapes[name], device="meta") for name in ours.values()}
    found = optimizer_multipliers(parameters, optimizer)
    assert len(found) == len(case.meta["params"])
    for key, (learning_rate, weight_decay) in case.meta["params"].items():
        assert found[ours[key]][0] == pytest.approx(learning_rate, rel=1e-6), key
        assert found[ours[key]][1] * optimizer.weight_decay == pytest.approx(weight_decay), key


@pytest.mark.parametrize("small_model", PLAIN_VITS.values(), ids=PLAIN_VITS)
def test_every_architecture_can_decay_by_layers(small_model: SmallModel) -> None:
    names = [name for name, _ in small_model.build().named_parameters()]
    decays = layer_decay_multipliers(names, LayerDecayRecipe(rate=0.5))
    assert decays["encoder.embeddings.patch_embeddings.weight"] == 0.5**5
    assert decays["encoder.layers.0.norm1.bias"] == 0.5**4
    assert decays["encoder.layers.3.norm2.weight"] == 0.5
    assert {decays[name] for name in names if name.startswith("decoder.")} == {1.0}


def test_names_without_layers_are_an_error() -> None:
    stages = [name for name, _ in SMALL_MODELS["hlg"].build().named_parameters()]
    with pytest.raises(ValueError, match="expected an encoder whose layers are trained"):
        layer_decay_multipliers(stages, LayerDecayRecipe(rate=0.5))
    with pytest.raises(ValueError, match="expected an encoder whose layers are trained"):
        layer_decay_multipliers(["backbone.blocks.0.weight"], LayerDecayRecipe(rate=0.5))


def test_an_expression_that_finds_nothing_is_an_error() -> None:
    recipe = LayerDecayRecipe(rate=0.5, as_embeddings=("^decoder.queries",))
    with pytest.raises(ValueError, match="finds no parameter"):
        layer_decay_multipliers(["encoder.layers.0.norm1.bias"], recipe)
