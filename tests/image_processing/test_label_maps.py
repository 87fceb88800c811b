"""Label maps: ids of any integer kind, resized by nearest neighbor, reduced once, checked."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from segvit_hf.image_processing.processor import (
    SemanticSegmentationImageProcessor,
    SemanticSegmentationImageProcessorPil,
)

IMAGE = np.zeros((11, 17, 3), np.uint8)
IDS = np.random.default_rng(0).integers(0, 150, (11, 17), dtype=np.uint8)


def palette_image(ids: np.ndarray) -> Image.Image:
    """A palette image whose colors have nothing to do with its ids."""
    image = Image.fromarray(ids, "P")
    image.putpalette(np.random.default_rng(1).integers(0, 256, 768, dtype=np.uint8).tolist())
    return image


@pytest.mark.parametrize(
    "segmentation_map",
    [
        pytest.param(Image.fromarray(IDS), id="L"),
        pytest.param(palette_image(IDS), id="P: the indices are the ids"),
        pytest.param(Image.fromarray(IDS.astype(np.int32)), id="I"),
        pytest.param(Image.fromarray(IDS.astype(np.uint16)), id="I;16"),
        pytest.param(IDS, id="uint8"),
        pytest.param(IDS.astype(np.int64), id="int64"),
        pytest.param(IDS[None], id="one channel first"),
        pytest.param(IDS[..., None], id="one channel last"),
        pytest.param(IDS.astype(">i4"), id="big-endian"),
        pytest.param(torch.from_numpy(IDS), id="torch uint8"),
        pytest.param(torch.from_numpy(IDS.astype(np.uint16)), id="torch uint16"),
        pytest.param([IDS], id="list"),
    ],
)
def test_label_map_kinds(segmentation_map: Any) -> None:
    labels = SemanticSegmentationImageProcessor(do_resize=False)(IMAGE, segmentation_map, return_tensors="pt").labels
    assert labels.dtype == torch.int64
    assert torch.equal(labels, torch.from_numpy(IDS.astype(np.int64))[None])


def test_files_keep_their_ids(tmp_path: Path) -> None:
    palette_image(IDS).save(tmp_path / "palette.png")
    Image.fromarray(IDS.astype(np.uint16) + 1000).save(tmp_path / "wide.png")
    processor = SemanticSegmentationImageProcessor(do_resize=False)
    for path, offset in ((tmp_path / "palette.png", 0), (str(tmp_path / "wide.png"), 1000)):
        labels = processor(IMAGE, path, return_tensors="np").labels
        np.testing.assert_array_equal(labels[0], IDS.astype(np.int64) + offset)


def test_ids_above_255_survive() -> None:
    ids = np.full((11, 17), 846)
    assert SemanticSegmentationImageProcessor()(IMAGE, ids, return_tensors="pt").labels.unique().tolist() == [846]


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_labels_are_reduced_once_and_images_never(dtype: type) -> None:
    ids = np.array([[0, 1, 2], [254, 255, 150]], dtype=dtype)
    image = np.array([[0, 1, 2], [254, 255, 150]], dtype=np.uint8)
    processor = SemanticSegmentationImageProcessor(
        do_resize=False, do_rescale=False, do_normalize=False, do_reduce_labels=True
    )
    batch = processor(image, ids, return_tensors="pt")
    assert batch.labels.tolist() == [[[255, 0, 1], [253, 255, 149]]]
    assert batch.pixel_values[0, 0].tolist() == image.tolist()
    assert processor(image, ids, do_reduce_labels=False, return_tensors="pt").labels.tolist() == [ids.tolist()]


def test_resize_invents_no_ids() -> None:
    ids = np.where(np.add.outer(np.arange(11), np.arange(17)) % 2 == 0, 3, 200)
    labels = SemanticSegmentationImageProcessor(size={"shortest_edge": 29})(IMAGE, ids, return_tensors="pt").labels
    assert labels.shape == (1, 29, 45)
    assert labels.unique().tolist() == [3, 200]


@pytest.mark.parametrize(
    ("segmentation_maps", "kwargs", "error", "message"),
    [
        (Image.fromarray(IMAGE), {}, ValueError, "found mode RGB"),
        (Image.fromarray(IMAGE).convert("RGBA"), {}, ValueError, "found mode RGBA"),
        (IMAGE, {}, ValueError, r"RGB-coded"),
        (IMAGE.transpose(2, 0, 1), {}, ValueError, r"RGB-coded"),
        (IDS / 2, {}, TypeError, "expected integer ids"),
        (torch.rand(11, 17), {}, TypeError, "expected integer ids"),
        (Image.fromarray(IDS.astype(np.float32)), {}, TypeError, "mode F"),
        ([IDS, IDS], {}, ValueError, "found 2 label maps for 1 images"),
        (IDS[:, :-1], {}, ValueError, r"\(11, 16\), those of its image \(11, 17\)"),
        (IDS.astype(np.int16) - 200, {}, ValueError, "must not be negative"),
        (np.full((11, 17), 7), {"num_labels": 7}, ValueError, r"segmentation_maps\[0\]: ids .*: 7; expected 0 to 6"),
        (np.full((11, 17), 9), {"num_labels": 7, "do_reduce_labels": True}, ValueError, ": 9; expected 1 to 7"),
        ("missing.png", {}, FileNotFoundError, r"missing\.png"),
        ({"map": IDS}, {}, TypeError, "expected PIL images"),
    ],
)
@pytest.mark.parametrize("backend", [SemanticSegmentationImageProcessor, SemanticSegmentationImageProcessorPil])
def test_what_is_no_label_map_is_refused(
    backend: Any, segmentation_maps: Any, kwargs: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        backend()(IMAGE, segmentation_maps, **kwargs)


def test_ignored_and_largest_ids_pass_the_check() -> None:
    ids = np.where(IDS % 2 == 0, 255, 7)
    processor = SemanticSegmentationImageProcessor(do_resize=False)
    assert processor(IMAGE, ids, num_labels=8, return_tensors="pt").labels.unique().tolist() == [7, 255]
    reduced = processor(IMAGE, ids, num_labels=7, do_reduce_labels=True, return_tensors="pt").labels
    assert reduced.unique().tolist() == [6, 255]


def test_three_maps_for_three_images_are_no_rgb_mask() -> None:
    maps = np.stack([IDS, IDS, IDS])
    labels = SemanticSegmentationImageProcessor(do_resize=False)([IMAGE] * 3, maps, return_tensors="np").labels
    np.testing.assert_array_equal(labels, maps)


@pytest.mark.parametrize("segmentation_map", [IDS.astype(np.int64), torch.from_numpy(IDS.astype(np.int64))])
def test_the_callers_map_is_not_touched(segmentation_map: Any) -> None:
    processor = SemanticSegmentationImageProcessor(do_resize=False, do_reduce_labels=True)
    for return_tensors in ("pt", None):
        processor(IMAGE, segmentation_map, return_tensors=return_tensors).labels[0][:] = 3
    assert np.array_equal(np.asarray(segmentation_map), IDS)


@pytest.mark.parametrize("ignore_index", [200, -1])
def test_any_id_may_stand_for_no_class(ignore_index: int) -> None:
    ids = np.array([[0, 1, 3], [4, ignore_index, 255]])
    image = np.zeros((2, 3, 3), np.uint8)
    processor = SemanticSegmentationImageProcessor(do_resize=False, minimum_padded_size=4, ignore_index=ignore_index)
    labels = processor(image, ids, return_tensors="pt").labels
    assert labels[0, :2, :3].tolist() == ids.tolist()
    assert labels[0, 2:].eq(ignore_index).all()
    assert labels[0, :, 3:].eq(ignore_index).all()
    reduced = processor(image, ids, do_reduce_labels=True, return_tensors="pt").labels
    assert reduced[0, :2, :3].tolist() == [[ignore_index, 0, 2], [3, ignore_index, 254]]
    with pytest.raises(ValueError, match=f"in 1 pixels: 255; expected 0 to 4 for 5 classes \\({ignore_index} is"):
        processor(image, ids, num_labels=5)
    assert processor(image, abs(ids), ignore_index=7, return_tensors="pt").labels[0, 2:].eq(7).all()


def test_the_ignored_id_is_saved_and_255_in_older_folders(tmp_path: Path) -> None:
    SemanticSegmentationImageProcessor(ignore_index=200).save_pretrained(tmp_path)
    file = tmp_path / "preprocessor_config.json"
    fields = json.loads(file.read_text())
    assert fields.pop("ignore_index") == 200
    for backend in (SemanticSegmentationImageProcessor, SemanticSegmentationImageProcessorPil):
        assert backend.from_pretrained(tmp_path).ignore_index == 200
    file.write_text(json.dumps(fields))
    assert SemanticSegmentationImageProcessor.from_pretrained(tmp_path).ignore_index == 255


@pytest.mark.parametrize("ignore_index", [True, 2.5, "255"])
def test_the_ignored_id_is_an_integer(ignore_index: Any) -> None:
    with pytest.raises(Exception, match="ignore_index"):
        SemanticSegmentationImageProcessor(ignore_index=ignore_index)
    processor = SemanticSegmentationImageProcessor()
    processor.ignore_index = ignore_index
    with pytest.raises(Exception, match="ignore_index"):
        processor(IMAGE, IDS)


def test_the_ignored_id_is_no_class() -> None:
    processor = SemanticSegmentationImageProcessor(ignore_index=3)
    with pytest.raises(ValueError, match="ignore_index: expected an id that is none of the 4 classes, found 3"):
        processor(IMAGE, IDS % 3, num_labels=4)
    assert processor(IMAGE, IDS % 4, num_labels=3, return_tensors="pt").labels.unique().tolist() == [0, 1, 2, 3]
