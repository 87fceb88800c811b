"""The demonstration's scenes are reproducible and show every class; its picture shows photo, prediction and truth."""

from pathlib import Path

import numpy as np
from PIL import Image

from segvit_hf.training.demo.pictures import PictureRow, draw_rows
from segvit_hf.training.demo.scenes import CLASS_NAMES, make_scene


def test_the_same_seed_gives_the_same_scene_and_another_one_another() -> None:
    first, again, other = (make_scene(np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.segmentation_map, again.segmentation_map)
    assert not np.array_equal(first.segmentation_map, other.segmentation_map)


def test_every_class_is_common_and_no_scene_is_of_one_class() -> None:
    maps = [make_scene(np.random.default_rng(seed)).segmentation_map for seed in range(40)]
    for label, name in enumerate(CLASS_NAMES):
        assert sum(bool((ids == label).sum() > 50) for ids in maps) >= 10, name
    assert min(len(np.unique(ids)) for ids in maps) >= 3


def test_the_picture_has_three_columns_and_a_row_per_scene(tmp_path: Path) -> None:
    scene = make_scene(np.random.default_rng(0))
    row = PictureRow(scene.image, scene.segmentation_map, scene.segmentation_map)
    one, two = (draw_rows([row] * count, tmp_path / f"{count}.png") for count in (1, 2))
    with Image.open(one) as first, Image.open(two) as second:
        assert first.width == second.width > 9 * scene.image.shape[1]
        assert second.height - first.height > 3 * scene.image.shape[0]
