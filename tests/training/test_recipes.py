"""Every recipe in the repository parses, builds its model and agrees with the original's configuration."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSemanticSegmentation

from segvit_hf.conversion.mmseg.test_pipeline import image_processor_arguments
from segvit_hf.conversion.segvit import segvit_config
from segvit_hf.data.label_sets import get_label_set
from segvit_hf.encoders.configuration_vit import as_pair
from segvit_hf.training.data.sources import load_label_set
from segvit_hf.training.model_building import build_config, build_image_processor
from segvit_hf.training.optimization.parameter_groups import build_optimizer
from segvit_hf.training.recipe import Recipe, load_recipe
from segvit_hf.training.recipe_files import list_recipes
from tests.reference import FIXTURES

FOLDER = Path(__file__).parents[2] / "training" / "recipes"
RECIPES = [FOLDER / f"{name}.yaml" for name in list_recipes()]
ORIGINALS = {
    "segvit-vit-b-ade20k": "full-vit-b-ade20k",
    "segvit-vit-l-ade20k": "full-vit-l-ade20k-640",
    "segvit-vit-l-shrunk-ade20k": "full-vit-l-shrunk-ade20k-640",
    "segvit-vit-l-cocostuff10k": "full-vit-l-cocostuff10k",
    "segvit-vit-l-shrunk-cocostuff10k": "full-vit-l-shrunk-cocostuff10k",
    "segvit-vit-l-pascal-context": "full-vit-l-pcontext",
    "segvit-vit-l-shrunk-pascal-context": "full-vit-l-shrunk-pcontext",
    "segvit-vit-l-pascal-context59": "full-vit-l-pcontext59",
    "segvit-vit-l-shrunk-pascal-context59": "full-vit-l-shrunk-pcontext59",
}


def _load(path: Path) -> Recipe:
    recipe = load_recipe(path)
    return recipe if recipe.data.layout else load_recipe(path, ["data.label_set=cityscapes"])


@pytest.mark.parametrize("path", RECIPES, ids=[path.stem for path in RECIPES])
def test_a_recipe_builds_its_model_and_optimizer(path: Path) -> None:
    recipe = _load(path)
    classes = load_label_set(recipe.data)
    config = build_config(recipe, classes)
    with torch.device("meta"):
        model = AutoModelForSemanticSegmentation.from_config(config)
    assert model.config.num_labels == classes.num_labels
    groups = build_optimizer(model, recipe.optimizer).param_groups
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    processor = build_image_processor(recipe, config, classes)
    assert processor.do_reduce_labels == classes.reduce_zero_label
    crop = recipe.augmentation.crop_size
    # ViT-Adapter's image size is that of the ImageNet weights' position embeddings.
    assert crop == as_pair(config.sliding_window["crop_size"] if config.sliding_window else config.image_size)


@pytest.mark.parametrize(("name", "case"), ORIGINALS.items(), ids=list(ORIGINALS))
def test_a_released_models_recipe_is_the_originals_configuration(name: str, case: str) -> None:
    recipe = _load(next(path for path in RECIPES if path.stem == name))
    original = json.loads((FIXTURES / "reference" / "segvit" / f"{case}.json").read_text())
    classes = load_label_set(recipe.data)
    assert classes.num_labels == original["arch"]["decode_head"]["num_classes"]

    def fields(config: Any) -> dict[str, Any]:
        values = {key: value for key, value in config.to_dict().items() if key not in ("id2label", "label2id")}
        return {**values, "mask_size": config.mask_size or as_pair(config.image_size)[0]}

    assert fields(build_config(recipe, classes)) == fields(segvit_config({"model": original["arch"]}))
    processor = build_image_processor(recipe, build_config(recipe, classes), classes)
    for field, value in image_processor_arguments(original["test_pipeline"]).items():
        found = getattr(processor, field)
        assert (list(found) if isinstance(found, tuple) else found) == value, field
    assert recipe.batch.effective_size == 16


@pytest.mark.parametrize(
    ("data", "learning_rate", "weight_decay", "power", "steps", "size", "crop"),
    [
        ("vit-b-ade20k", 2e-5, 0.01, 1, 160000, (2048, 512), 512),
        ("vit-l-ade20k", 2e-5, 0.01, 1, 160000, (2048, 640), 640),
        ("vit-l-cocostuff10k", 2e-5, 0.02, 2, 80000, (2048, 512), 512),
        ("vit-l-pascal-context", 2e-5, 0.03, 1, 80000, (520, 520), 480),
        ("vit-l-pascal-context59", 5e-6, 0.02, 2, 80000, (520, 520), 480),
    ],
)
def test_training_settings_are_the_originals(
    data: str, learning_rate: float, weight_decay: float, power: float, steps: int, size: tuple[int, int], crop: int
) -> None:
    for name in {data, data.replace("vit-l-", "vit-l-shrunk-")}:
        recipe = _load(next(path for path in RECIPES if path.stem == f"segvit-{name}"))
        assert (recipe.optimizer.learning_rate, recipe.optimizer.weight_decay) == (learning_rate, weight_decay)
        assert (recipe.schedule.power, recipe.schedule.max_steps) == (power, steps)
        assert (recipe.schedule.warmup_steps, recipe.schedule.warmup_ratio) == (1500, 1e-6)
        assert recipe.optimizer.max_gradient_norm == 35
        augmentation = recipe.augmentation
        assert (augmentation.size, augmentation.crop_size) == (size, (crop, crop))
        assert (augmentation.scale_range, augmentation.cat_max_ratio) == ((0.5, 2.0), 0.75)


def test_reduced_labels_follow_the_label_set() -> None:
    for path in RECIPES:
        recipe = _load(path)
        if recipe.data.layout is not None:
            assert load_label_set(recipe.data).reduce_zero_label == get_label_set(recipe.data.layout).reduce_zero_label
