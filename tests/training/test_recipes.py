"""Every recipe in the repository parses and builds its model, that of its preset."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSemanticSegmentation, Dinov2Config, Dinov2Model

from segvit_hf import get_preset, list_presets
from segvit_hf.data import TrainingAugmentation
from segvit_hf.data.label_sets import get_label_set
from segvit_hf.encoders.configuration_vit import as_pair
from segvit_hf.training.data.sources import load_label_set
from segvit_hf.training.model_building import build_config, build_image_processor
from segvit_hf.training.optimization.parameter_groups import build_optimizer
from segvit_hf.training.recipe import OptimizerRecipe, Recipe, RuntimeRecipe, ScheduleRecipe, load_recipe
from segvit_hf.training.recipe_files import list_recipes, read_based_yaml

FOLDER = Path(__file__).parents[2] / "training" / "recipes"
RECIPES = [FOLDER / f"{name}.yaml" for name in list_recipes()]
# SegViTv2's recipes take data and sizes from SegViT's presets; no model of its own was released.
OF_PRESETS = [path for path in RECIPES if "preset" in read_based_yaml(path) and not path.name.startswith("segvit-v2-")]


def _load(path: Path, backbone: Path | None = None) -> Recipe:
    recipe = load_recipe(path)
    overrides = [] if recipe.data.layout else ["data.label_set=cityscapes"]
    overrides += [] if recipe.model.backbone is None or backbone is None else [f"model.backbone={backbone}"]
    return load_recipe(path, overrides)


@pytest.fixture(scope="session")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In the place of those on the Hub."""
    folder = tmp_path_factory.mktemp("backbone")
    Dinov2Model(Dinov2Config(hidden_size=24, num_hidden_layers=4, num_attention_heads=2)).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("path", RECIPES, ids=[path.stem for path in RECIPES])
def test_a_recipe_builds_its_model_and_optimizer(path: Path, backbone: Path) -> None:
    recipe = _load(path, backbone)
    classes = load_label_set(recipe.data)
    config = build_config(recipe, classes)
    with torch.device("meta"):
        model = AutoModelForSemanticSegmentation.from_config(config)
    assert model.config.num_labels == classes.num_labels
    groups = build_optimizer(model, recipe.optimizer).param_groups
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert sum(len(group["params"]) for group in groups) == len(trained)
    assert recipe.model.backbone or len(trained) == len(list(model.parameters()))
    processor = build_image_processor(recipe, config, classes)
    assert processor.do_reduce_labels == classes.reduce_zero_label
    crop = recipe.augmentation.crop_size
    # ViT-Adapter's image size is that of the ImageNet weights' position embeddings.
    assert crop == as_pair(config.sliding_window["crop_size"] if config.sliding_window else config.image_size)


@pytest.mark.parametrize("path", OF_PRESETS, ids=[path.stem for path in OF_PRESETS])
def test_a_released_models_recipe_trains_its_preset(path: Path) -> None:
    recipe, preset = _load(path), get_preset(read_based_yaml(path)["preset"])
    classes = load_label_set(recipe.data)
    assert classes == preset.label_set
    config = build_config(recipe, classes)
    assert {**config.to_dict(), "palette": None} == {**preset.build_config().to_dict(), "palette": None}
    processor = build_image_processor(recipe, config, classes)
    # Evaluated as segm/eval/miou.py does, whose resize a converted model does not have.
    evaluation = {"do_resize": True, "size": processor.size} if preset.family == "segmenter" else {}
    assert processor.to_dict() == {**preset.build_image_processor().to_dict(), **evaluation}


def test_every_released_model_of_the_authors_has_a_recipe() -> None:
    trained = {read_based_yaml(path)["preset"] for path in OF_PRESETS}
    # SETR's 40k runs differ from its 80k ones in the number of steps, bs8 from bs16 in the batch.
    shorter = {name for name in list_presets("setr-*") if name.endswith(("-40k", "-bs8"))}
    # Classifiers and detectors are trained by transformers' own means.
    originals = {
        preset.name
        for preset in map(get_preset, list_presets())
        if preset.naming == "original" and preset.task == "segmentation"
    }
    # Heads on frozen encoders, for which the recipes of backbones stand.
    frozen = set(list_presets("dinov[23]-*"))
    assert trained == originals - shorter - frozen


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
        assert recipe.optimizer == OptimizerRecipe(
            name="adamw",
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            betas=(0.9, 0.999),
            max_gradient_norm=35.0,
            parameter_groups=recipe.optimizer.parameter_groups,  # see test_parameter_groups.py
        )
        assert recipe.schedule == ScheduleRecipe(steps, power=power, warmup_steps=1500, warmup_ratio=1e-6)
        assert recipe.augmentation == TrainingAugmentation(
            crop_size=crop,
            size=size,
            scale_range=(0.5, 2.0),
            cat_max_ratio=0.75,
            flip_probability=0.5,
            photometric_distortion=True,
        )
        assert recipe.batch.effective_size == 16
        assert recipe.runtime == RuntimeRecipe()


def test_reduced_labels_follow_the_label_set() -> None:
    for path in RECIPES:
        recipe = _load(path)
        if recipe.data.layout is not None:
            assert load_label_set(recipe.data).reduce_zero_label == get_label_set(recipe.data.layout).reduce_zero_label
