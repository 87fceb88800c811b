"""`segment` keeps the logits of large photos within a limit: a smaller photo is segmented, and it says so."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from segvit_hf import SegmenterImageProcessor, segment
from segvit_hf.cli.prediction.photo_segmenter import PhotoSegmenter
from segvit_hf.inference.photo_size import MAX_LOGITS
from tests.models.architectures import NUM_LABELS, SMALL_MODELS
from tests.reference import FIXTURES

PHOTO = np.asarray(Image.open(FIXTURES / "photos" / "coffee.png").convert("RGB"))[::3, ::3]
HEIGHT, WIDTH = PHOTO.shape[:2]
SMALLER = (HEIGHT // 2, WIDTH // 2)
# Just enough for a photo of half the sides.
LIMIT = NUM_LABELS * HEIGHT * WIDTH // 4


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    return SMALL_MODELS["segmenter"].build(sliding_window={"crop_size": [64, 64], "stride": [64, 64]})


def smaller_then_enlarged(model: torch.nn.Module, photo: np.ndarray, flip: bool) -> np.ndarray:
    """The label map of Pillow's smaller photo; pixels take the class of the small pixel that covers their center."""
    small = Image.fromarray(photo).resize(SMALLER[::-1], Image.Resampling.BILINEAR)
    ids = segment(model, SegmenterImageProcessor(), small, flip=flip, max_logits=None).numpy()
    rows = [int((row + 0.5) * SMALLER[0] / photo.shape[0]) for row in range(photo.shape[0])]
    columns = [int((column + 0.5) * SMALLER[1] / photo.shape[1]) for column in range(photo.shape[1])]
    return ids[np.ix_(rows, columns)]


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("kind", [Image.fromarray, np.asarray, lambda photo: torch.from_numpy(photo.copy())])
def test_large_photos_are_segmented_at_a_smaller_size(model: torch.nn.Module, kind, flip: bool) -> None:
    message = rf"{WIDTH}x{HEIGHT} pixels is segmented at {SMALLER[1]}x{SMALLER[0]}.*max_logits = {LIMIT} "
    with pytest.warns(UserWarning, match=message) as caught:
        label_map = segment(model, SegmenterImageProcessor(), kind(PHOTO), flip=flip, max_logits=LIMIT)
    assert caught[0].filename == __file__
    expected = smaller_then_enlarged(model, PHOTO, flip)
    assert label_map.dtype == torch.int64
    np.testing.assert_array_equal(label_map.numpy(), expected)
    own = segment(model, SegmenterImageProcessor(), PHOTO, flip=flip, max_logits=None)
    assert not np.array_equal(own.numpy(), expected)


def test_photos_of_floating_point_numbers_get_smaller_too(model: torch.nn.Module) -> None:
    with pytest.warns(UserWarning, match="is segmented at"):
        label_map = segment(model, SegmenterImageProcessor(), (PHOTO / 255).astype(np.float32), max_logits=LIMIT)
    assert (label_map.numpy() == smaller_then_enlarged(model, PHOTO, flip=False)).mean() > 0.95


def test_the_network_gets_no_more_than_the_limit(model: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, forward = [], type(model).forward

    def recorded(self, pixel_values: torch.Tensor, **kwargs: object) -> object:
        sizes.append(tuple(pixel_values.shape[2:]))
        return forward(self, pixel_values, **kwargs)

    monkeypatch.setattr(type(model), "forward", recorded)
    with pytest.warns(UserWarning, match="is segmented at"):
        segment(model, SegmenterImageProcessor(), PHOTO, max_logits=LIMIT)
    assert sizes == [SMALLER]


@pytest.mark.filterwarnings("error")
def test_nothing_is_said_and_done_where_the_limit_is_kept_or_off(model: torch.nn.Module) -> None:
    own = segment(model, SegmenterImageProcessor(), PHOTO, max_logits=None)
    assert torch.equal(segment(model, SegmenterImageProcessor(), PHOTO, max_logits=4 * LIMIT), own)
    assert torch.equal(segment(model, SegmenterImageProcessor(), PHOTO), own)


@pytest.mark.filterwarnings("error")
def test_a_processor_that_resizes_decides_the_size_itself(model: torch.nn.Module) -> None:
    processor = SegmenterImageProcessor(do_resize=True, size={"shortest_edge": 64})
    limited = segment(model, processor, PHOTO, scales=(1.0, 1.5), max_logits=1)
    assert torch.equal(limited, segment(model, processor, PHOTO, scales=(1.0, 1.5), max_logits=None))


def test_by_default_two_gigabytes_are_the_limit_as_on_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    model = SMALL_MODELS["segmenter-linear"].build(sliding_window={"crop_size": [64, 64], "stride": [64, 64]})
    # As many classes as fill 4 times 2 GiB at the photo's size, if the model had them.
    monkeypatch.setattr(type(model.config), "num_labels", 4 * MAX_LOGITS // (HEIGHT * WIDTH))
    with pytest.warns(UserWarning, match=f"segmented at {SMALLER[1]}x{SMALLER[0]}"):
        label_map = segment(model, SegmenterImageProcessor(), PHOTO)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ids, size = PhotoSegmenter(model, SegmenterImageProcessor())(PHOTO)
    assert size == SMALLER
    np.testing.assert_array_equal(ids, label_map.numpy())


def test_a_limit_below_one_is_refused(model: torch.nn.Module) -> None:
    with pytest.raises(ValueError, match="max_logits must be None or at least 1, found 0"):
        segment(model, SegmenterImageProcessor(), PHOTO, max_logits=0)
