"""Reading the ids of label maps of every accepted kind of file."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segvit_hf.data import check_label_range, read_label_map
from segvit_hf.data.label_maps import reduce_zero_label
from tests.data.gray_png import gray_png

IDS = np.array([[0, 1, 2], [3, 150, 255]])


def test_gray_values_are_the_ids(tmp_path: Path) -> None:
    Image.fromarray(IDS.astype(np.uint8)).save(tmp_path / "a.png")
    assert read_label_map(tmp_path / "a.png").tolist() == IDS.tolist()


def test_palette_indices_are_the_ids_whatever_the_colors(tmp_path: Path) -> None:
    image = Image.fromarray(IDS.astype(np.uint8)).convert("L")
    image.putpalette([255, 0, 0] * 256)
    assert image.mode == "P"
    image.save(tmp_path / "a.png")
    assert read_label_map(tmp_path / "a.png").tolist() == IDS.tolist()


@pytest.mark.parametrize(("dtype", "ending"), [(np.uint16, "png"), (np.uint16, "tif"), (np.int32, "tif")])
def test_wide_integers(tmp_path: Path, dtype: type, ending: str) -> None:
    ids = np.array([[0, 1], [459, 40000]], dtype)
    Image.fromarray(ids).save(tmp_path / f"a.{ending}")
    found = read_label_map(tmp_path / f"a.{ending}")
    assert found.dtype.kind in "iu"
    assert found.tolist() == ids.tolist()


def test_one_bit_maps_hold_0_and_1(tmp_path: Path) -> None:
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "a.png")
    found = read_label_map(tmp_path / "a.png")
    assert (found.dtype, found.tolist()) == (np.uint8, [[1, 0]])


@pytest.mark.parametrize("bits", [2, 4])
def test_gray_pngs_of_few_bits_are_not_stretched(tmp_path: Path, bits: int) -> None:
    (tmp_path / "a.png").write_bytes(gray_png(np.array([[1, 3]]), bits))
    assert read_label_map(tmp_path / "a.png").tolist() == [[1, 3]]


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_color_coded_maps_are_refused_with_their_number_of_colors(tmp_path: Path, mode: str) -> None:
    colors = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 0, 0]]], np.uint8)
    Image.fromarray(colors).convert(mode).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=f"a.png.*mode {mode} with 3 different colors.*replace each color"):
        read_label_map(tmp_path / "a.png")


def test_gray_maps_saved_as_rgb_are_told_apart(tmp_path: Path) -> None:
    Image.fromarray(IDS.astype(np.uint8)).convert("RGB").save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="6 different colors.*channels are equal"):
        read_label_map(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("ids", "num_labels", "reduce_zero_label"),
    [([0, 2, 255], 3, False), ([0, 1, 3, 255], 3, True), ([0, 254], 255, False), ([1, 2], 2, True)],
)
def test_ids_in_range_pass(ids: list, num_labels: int, reduce_zero_label: bool) -> None:
    check_label_range(np.array([ids], np.uint8), num_labels, 255, reduce_zero_label)


@pytest.mark.parametrize(
    ("ids", "num_labels", "reduce_zero_label", "shown"),
    [([0, 3], 3, False, "3"), ([0, 4], 3, True, "4"), ([-1, 0], 3, False, "-1")],
)
def test_ids_out_of_range_raise(ids: list, num_labels: int, reduce_zero_label: bool, shown: str) -> None:
    with pytest.raises(ValueError, match=f"mine: ids out of range in 1 pixels: {shown};"):
        check_label_range(np.array([ids]), num_labels, 255, reduce_zero_label, source="mine")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64])
@pytest.mark.parametrize("ignore_index", [255, 200, -1])
def test_zero_is_reduced_to_the_ignored_id(dtype: type, ignore_index: int) -> None:
    stored = np.array([[0, 1, 2], [150, max(ignore_index, 0), 3]], dtype)
    before = stored.copy()
    found = reduce_zero_label(stored, ignore_index)
    assert found.dtype == np.int64
    assert found.tolist() == [[ignore_index, 0, 1], [149, ignore_index, 2]]
    assert (stored == before).all()
