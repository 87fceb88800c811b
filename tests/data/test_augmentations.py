"""The training augmentations: sizes, crops, flips, colors, and determinism."""

import colorsys

import numpy as np
import pytest
import torch
from PIL import Image

from segvit_hf.data import TrainingAugmentation, pad_to_size
from segvit_hf.data.augmentations import distort_colors
from segvit_hf.data.hsv import hsv_to_rgb, rgb_to_hsv
from segvit_hf.image_processing.opencv_resize import resize_uint8_bilinear, resize_uint8_bilinear_float

PHOTO = "tests/fixtures/photos/astronaut.png"


@pytest.fixture(scope="module")
def photo(request: pytest.FixtureRequest) -> np.ndarray:
    return np.asarray(Image.open(request.config.rootpath / PHOTO).convert("RGB"))


@pytest.fixture(scope="module")
def label_map(photo: np.ndarray) -> np.ndarray:
    rows, columns = np.mgrid[: photo.shape[0], : photo.shape[1]]
    return ((rows // 60 + columns // 60) % 7).astype(np.uint8)


def plain(**kwargs: object) -> TrainingAugmentation:
    """Resize only, unless told otherwise."""
    settings = {"crop_size": 4096, "flip_probability": 0.0, "photometric_distortion": False, "cat_max_ratio": 1.0}
    return TrainingAugmentation(**{**settings, **kwargs})


def test_the_same_generator_state_gives_the_same_result(photo: np.ndarray, label_map: np.ndarray) -> None:
    augment = TrainingAugmentation(crop_size=(96, 128), size=(512, 128))
    before = photo.copy()
    one, other, different = (augment(photo, label_map, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_array_equal(one[1], other[1])
    assert one[0].shape != different[0].shape or (one[0] != different[0]).any()
    np.testing.assert_array_equal(photo, before)


def test_result_types_and_shapes(photo: np.ndarray, label_map: np.ndarray) -> None:
    image, labels = TrainingAugmentation(crop_size=(96, 128), size=(1024, 256), scale_range=None)(
        photo, label_map, np.random.default_rng(0)
    )
    assert (image.shape, image.dtype) == ((96, 128, 3), np.uint8)
    assert (labels.shape, labels.dtype) == ((96, 128), np.int64)
    assert image.flags.c_contiguous
    assert labels.flags.c_contiguous


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((375, 500), (2048, 512), (512, 683)),  # 682.67: mmcv rounds half up
        ((500, 375), (512, 2048), (683, 512)),
        ((300, 1500), (2048, 512), (410, 2048)),  # the long side limits: 409.6
        ((400, 600), None, (400, 600)),
    ],
)
def test_sizes_follow_mmcv(shape: tuple, size: tuple | None, expected: tuple) -> None:
    image = np.zeros((*shape, 3), np.uint8)
    resized, labels = plain(size=size, scale_range=None)(image, image[..., 0], np.random.default_rng(0))
    assert resized.shape[:2] == labels.shape == expected


def test_scale_range_bounds_the_size(photo: np.ndarray, label_map: np.ndarray) -> None:
    augment = plain(size=(512, 128), scale_range=(0.5, 2.0))
    heights = [augment(photo, label_map, np.random.default_rng(seed))[0].shape[0] for seed in range(40)]
    assert 64 <= min(heights) < 85
    assert 220 < max(heights) <= 256


def test_a_small_image_is_not_padded() -> None:
    image = np.zeros((40, 50, 3), np.uint8)
    augmented, labels = plain(crop_size=64, scale_range=None)(image, image[..., 0], np.random.default_rng(0))
    assert augmented.shape[:2] == labels.shape == (40, 50)


def test_image_and_map_stay_aligned(label_map: np.ndarray) -> None:
    image = np.repeat(label_map[..., None] * 30, 3, axis=2)
    augment = plain(crop_size=100, scale_range=None, flip_probability=0.5, cat_max_ratio=0.75)
    flipped = 0
    for seed in range(10):
        augmented, labels = augment(image, label_map, np.random.default_rng(seed))
        np.testing.assert_array_equal(augmented[..., 0], labels * 30)
        flipped += int((np.diff(labels[0][np.r_[True, np.diff(labels[0]) != 0]]) % 7 == 6).all())
    assert 0 < flipped < 10


def test_flip_probability_one_always_flips() -> None:
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    labels = np.array([[1, 2, 3, 4], [5, 6, 7, 8]])
    flipped, flipped_labels = plain(scale_range=None, flip_probability=1.0)(image, labels, np.random.default_rng(0))
    np.testing.assert_array_equal(flipped, image[:, ::-1])
    np.testing.assert_array_equal(flipped_labels, labels[:, ::-1])


def test_crops_of_almost_one_class_are_drawn_again() -> None:
    # Only crops near the right edge show two classes.
    labels = np.zeros((20, 200), np.uint8)
    labels[:, 185:] = 1
    image = np.zeros((20, 200, 3), np.uint8)

    def share_of_mixed_crops(cat_max_ratio: float) -> float:
        augment = plain(crop_size=20, scale_range=None, cat_max_ratio=cat_max_ratio)
        crops = [augment(image, labels, np.random.default_rng(seed))[1] for seed in range(200)]
        return float(np.mean([0.25 < crop.mean() < 0.75 for crop in crops]))

    # One place in 18 or so is mixed enough; ten more draws find it far more often.
    assert share_of_mixed_crops(1.0) < 0.12
    assert 0.3 < share_of_mixed_crops(0.75) < 0.6


def test_ignored_pixels_do_not_count_for_the_crop() -> None:
    # With 255 counted, every crop would pass at once and show one class and the ignored rest.
    labels = np.full((20, 200), 255, np.uint8)
    labels[:10] = 0
    labels[:10, 100:] = 1
    image = np.zeros((20, 200, 3), np.uint8)
    augment = plain(crop_size=20, scale_range=None, cat_max_ratio=0.75)
    crops = [augment(image, labels, np.random.default_rng(seed))[1] for seed in range(100)]
    assert np.mean([len(np.unique(crop)) == 3 for crop in crops]) > 0.25


def test_an_image_of_one_class_still_gives_a_crop() -> None:
    image = np.zeros((50, 50, 3), np.uint8)
    assert TrainingAugmentation(crop_size=20)(image, image[..., 0], np.random.default_rng(0))[1].shape == (20, 20)


def test_label_maps_of_every_integer_type_take_the_nearest_id() -> None:
    image = np.zeros((1, 5, 3), np.uint8)
    for dtype in (np.uint8, np.uint16, np.int32, np.int64):
        ids = np.arange(300, 305, dtype=dtype)[None] if dtype != np.uint8 else np.arange(5, dtype=dtype)[None]
        resized = plain(size=(3, 1), scale_range=None)(image, ids, np.random.default_rng(0))[1]
        assert (resized - int(ids[0, 0])).tolist() == [[0, 1, 3]]


def test_the_float_resize_is_the_exact_one_to_the_last_unit(photo: np.ndarray) -> None:
    pixels = torch.from_numpy(photo.copy()).permute(2, 0, 1)
    for height, width in ((300, 700), (97, 411)):
        exact, fast = (
            resize(pixels, height, width).int() for resize in (resize_uint8_bilinear, resize_uint8_bilinear_float)
        )
        assert (exact - fast).abs().max() == 1
        assert (exact != fast).float().mean() < 0.2


def test_photos_are_resized_without_antialiasing() -> None:
    stripes = np.zeros((4, 64, 3), np.uint8)
    stripes[:, ::4] = 255
    resized = plain(size=(16, 1), scale_range=None)(stripes, stripes[..., 0], np.random.default_rng(0))[0]
    # Every fourth sample between two neighbors: an antialiased result would be 64 everywhere.
    assert np.unique(resized).tolist() == [0]
    pair = np.array([[[0] * 3, [200] * 3]], np.uint8)
    enlarged = plain(size=(4, 2), scale_range=None)(pair, pair[..., 0], np.random.default_rng(0))[0]
    assert enlarged[0, :, 0].tolist() == [0, 50, 150, 200]


@pytest.mark.parametrize(
    ("color", "hsv"),
    [
        ((255, 0, 0), (0, 255, 255)),
        ((0, 255, 0), (60, 255, 255)),
        ((0, 0, 255), (120, 255, 255)),
        ((255, 0, 255), (150, 255, 255)),
        ((128, 128, 128), (0, 0, 128)),
        ((0, 0, 0), (0, 0, 0)),
        ((10, 200, 100), (74, 242, 200)),
        ((200, 10, 30), (177, 242, 200)),
    ],
)
def test_hsv_is_opencvs(color: tuple, hsv: tuple) -> None:
    assert rgb_to_hsv(np.array([[color]], np.uint8))[0, 0].tolist() == list(hsv)


# Hue, saturation, value and what OpenCV 5.0 makes of them in a picture of 1000 x 1000 pixels.
HSV_TO_RGB = [
    ((153, 221, 143), (143, 19, 130)),
    ((114, 198, 117), (26, 44, 117)),
    ((92, 230, 216), (21, 203, 216)),
    ((48, 188, 242), (134, 242, 63)),
    ((55, 239, 183), (40, 183, 11)),
    ((7, 70, 160), (160, 126, 116)),
    ((13, 123, 94), (94, 68, 48)),
    ((2, 100, 227), (227, 143, 137)),
    ((31, 184, 4), (3, 4, 1)),
    ((146, 227, 239), (210, 26, 239)),
    ((116, 151, 252), (102, 122, 252)),
    ((164, 62, 64), (64, 48, 56)),
    ((90, 136, 2), (0, 1, 2)),
    ((109, 223, 22), (2, 9, 22)),
    ((174, 196, 150), (150, 34, 57)),
    ((131, 218, 206), (94, 29, 206)),
    ((113, 1, 119), (118, 118, 119)),
    ((97, 214, 167), (26, 134, 167)),
    ((49, 161, 217), (130, 217, 79)),
    ((146, 12, 91), (90, 86, 91)),
    ((0, 62, 143), (143, 108, 108)),
    ((152, 114, 163), (163, 90, 158)),
]


def test_rgb_is_opencvs() -> None:
    hsv = np.array([[hsv for hsv, _ in HSV_TO_RGB]], np.uint8)
    assert hsv_to_rgb(hsv)[0].tolist() == [list(rgb) for _, rgb in HSV_TO_RGB]


def test_hsv_and_back_stay_close_to_exact_arithmetic(photo: np.ndarray) -> None:
    pixels = photo[::16, ::16]
    hsv = rgb_to_hsv(pixels).astype(int)
    back = hsv_to_rgb(rgb_to_hsv(pixels)).astype(int)
    for row, column in np.ndindex(*pixels.shape[:2]):
        hue, saturation, value = colorsys.rgb_to_hsv(*(pixels[row, column] / 255))
        assert abs(hsv[row, column, 2] - 255 * value) < 0.51
        assert abs(hsv[row, column, 1] - 255 * saturation) < 0.6
        assert min(abs(hsv[row, column, 0] - 180 * hue), 180 - abs(hsv[row, column, 0] - 180 * hue)) < 0.6
    # Half a unit of hue is up to 4 of 255 where the color is strong.
    assert abs(back - pixels).max() <= 5
    assert abs(back - pixels).mean() < 1.5


def test_each_change_of_color_happens_half_of_the_time(photo: np.ndarray) -> None:
    pixels = photo[:64, :64]
    unchanged = [(distort_colors(pixels, np.random.default_rng(seed)) == pixels).all() for seed in range(320)]
    # No brightness, contrast, saturation or hue: one in sixteen.
    assert 0.03 < np.mean(unchanged) < 0.11


def test_brightness_stays_within_its_range() -> None:
    gray = np.full((2, 2, 3), 100, np.uint8)
    # Saturation and hue leave gray as it is.
    values = [
        int(distort_colors(gray, np.random.default_rng(seed), contrast_range=(1, 1))[0, 0, 0]) for seed in range(200)
    ]
    assert 68 <= min(values) < 75
    assert 125 < max(values) <= 132


def test_contrast_is_a_factor_before_or_after() -> None:
    gray = np.full((2, 2, 3), 100, np.uint8)
    values = [
        int(distort_colors(gray, np.random.default_rng(seed), brightness_delta=0)[0, 0, 0]) for seed in range(200)
    ]
    assert 50 <= min(values) < 60
    assert 140 < max(values) <= 150


def test_hue_turns_by_at_most_its_delta() -> None:
    red = np.full((1, 1, 3), (255, 0, 0), np.uint8)
    options = {"brightness_delta": 0, "contrast_range": (1, 1), "saturation_range": (1, 1)}
    turned = [rgb_to_hsv(distort_colors(red, np.random.default_rng(seed), **options))[0, 0, 0] for seed in range(300)]
    offsets = {(int(hue) + 90) % 180 - 90 for hue in turned}
    assert min(offsets) == -18
    assert max(offsets) == 17


def test_padding_is_at_the_right_and_the_bottom() -> None:
    pixel_values, labels = torch.ones(3, 2, 3), torch.ones(2, 3, dtype=torch.int64)
    padded, padded_labels = pad_to_size(pixel_values, labels, (4, 5))
    assert padded.shape == (3, 4, 5)
    assert padded[:, :2, :3].eq(1).all()
    assert padded.sum() == pixel_values.sum()
    assert padded_labels.dtype == torch.int64
    assert padded_labels.tolist() == [[1, 1, 1, 255, 255]] * 2 + [[255] * 5] * 2
    assert pad_to_size(pixel_values, None, 8)[1] is None


def test_padding_to_a_smaller_size_raises() -> None:
    with pytest.raises(ValueError, match="size: expected at least the image's 4x4"):
        pad_to_size(torch.zeros(3, 4, 4), None, (4, 3))
    with pytest.raises(ValueError, match="labels: expected the image's size 4x4"):
        pad_to_size(torch.zeros(3, 4, 4), torch.zeros(4, 5), 8)


@pytest.mark.parametrize(
    ("image", "labels", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), int), "uint8"),
        (np.zeros((4, 4), np.uint8), np.zeros((4, 4), int), r"\(height, width, 3\)"),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5), int), "segmentation_map"),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4)), "integer"),
    ],
)
def test_wrong_arrays_raise(image: np.ndarray, labels: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingAugmentation(crop_size=2)(image, labels, np.random.default_rng(0))


@pytest.mark.parametrize(
    "settings",
    [
        {"crop_size": 0},
        {"size": (0, 5)},
        {"scale_range": (2.0, 0.5)},
        {"cat_max_ratio": 0.0},
        {"flip_probability": 1.5},
    ],
)
def test_wrong_settings_name_the_argument(settings: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        TrainingAugmentation(**{"crop_size": 8, **settings})


def test_crops_start_everywhere_the_last_place_included() -> None:
    rows, columns = np.mgrid[:9, :8]
    image = np.stack([rows, columns, rows], axis=-1).astype(np.uint8)
    starts = []
    for seed in range(600):
        crop, label_map = plain(crop_size=(5, 6), scale_range=(1, 1))(
            image, rows.astype(np.uint8), np.random.default_rng(seed)
        )
        assert crop.shape == (5, 6, 3)
        assert label_map.shape == (5, 6)
        starts.append((int(crop[0, 0, 0]), int(crop[0, 0, 1])))
    assert set(starts) == {(top, left) for top in range(5) for left in range(3)}
    for start in set(starts):
        assert 15 < starts.count(start) < 80  # 40 on the average
