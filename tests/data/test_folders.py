"""Pairing two folders of photos and label maps, and reading the pairs."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segvit_hf.data import SegmentationFolders


def write_pair(
    root: Path,
    name: str,
    label_map: np.ndarray | None = None,
    image_suffix: str = ".png",
    label_suffix: str = ".png",
    images: str = "images",
    annotations: str = "annotations",
) -> None:
    """Writes a photo and its label map, by default of 6 x 4 zeros."""
    label_map = np.zeros((4, 6), np.uint8) if label_map is None else label_map
    photo = np.full((*label_map.shape, 3), (200, 100, 50), np.uint8)
    for path, array in (
        (root / images / f"{name}{image_suffix}", photo),
        (root / annotations / f"{name}{label_suffix}", label_map),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(path)


def folders(root: Path, **kwargs) -> SegmentationFolders:
    return SegmentationFolders(root / "images", root / "annotations", **kwargs)


def test_pairs_are_sorted_and_read(tmp_path: Path) -> None:
    label_map = np.arange(24, dtype=np.uint8).reshape(4, 6)
    write_pair(tmp_path, "b", label_map, image_suffix=".jpg")
    write_pair(tmp_path, "a")
    write_pair(tmp_path, "part/c", image_suffix=".JPEG")
    dataset = folders(tmp_path)
    assert len(dataset) == 3
    assert [item["name"] for item in dataset] == dataset.names == ["a", "b", "part/c"]
    item = dataset[1]
    assert item["image"].shape == (4, 6, 3)
    assert item["image"].dtype == np.uint8
    assert item["segmentation_map"].tolist() == label_map.tolist()
    assert abs(item["image"][2, 2].astype(int) - (200, 100, 50)).max() < 8


def test_suffixes_are_stripped_and_other_files_left_aside(tmp_path: Path) -> None:
    suffixes = {"image_suffix": "_leftImg8bit", "annotation_suffix": "_gtFine_labelTrainIds"}
    write_pair(tmp_path, "aachen/000", image_suffix="_leftImg8bit.png", label_suffix="_gtFine_labelTrainIds.png")
    Image.new("RGB", (6, 4)).save(tmp_path / "annotations/aachen/000_gtFine_color.png")
    (tmp_path / "annotations/aachen/000_gtFine_polygons.json").write_text("{}")
    assert folders(tmp_path, **suffixes).names == ["aachen/000"]


def test_links_to_folders_are_followed(tmp_path: Path) -> None:
    write_pair(tmp_path / "elsewhere", "a")
    for folder in ("images", "annotations"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "linked").symlink_to(tmp_path / "elsewhere" / folder, target_is_directory=True)
    assert folders(tmp_path).names == ["linked/a"]


def test_a_list_file_chooses_the_names(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write_pair(tmp_path, name)
    (tmp_path / "images/without_map.png").write_bytes(b"")
    (tmp_path / "train.txt").write_text("c\na\n\n")
    assert folders(tmp_path, list_file=tmp_path / "train.txt").names == ["a", "c"]
    (tmp_path / "train.txt").write_text("c\nd\n")
    with pytest.raises(ValueError, match="train.txt: 1 of 2 names.*: d"):
        folders(tmp_path, list_file=tmp_path / "train.txt")


@pytest.mark.parametrize(
    ("layout", "images", "annotations", "suffixes", "reduced"),
    [
        ("ade20k", "images/validation", "annotations/validation", {}, True),
        (
            "cityscapes",
            "leftImg8bit/val",
            "gtFine/val",
            {"image_suffix": "_leftImg8bit.png", "label_suffix": "_gtFine_labelTrainIds.png"},
            False,
        ),
        ("pascal_context", "JPEGImages", "SegmentationClassContext", {}, False),
        ("pascal_context_59", "JPEGImages", "SegmentationClassContext", {}, True),
        ("coco_stuff_10k", "images/test2014", "annotations/test2014", {"label_suffix": "_labelTrainIds.png"}, True),
        ("coco_stuff_164k", "images/val2017", "annotations/val2017", {"label_suffix": "_labelTrainIds.png"}, False),
    ],
)
def test_known_layouts(
    tmp_path: Path, layout: str, images: str, annotations: str, suffixes: dict, reduced: bool
) -> None:
    write_pair(tmp_path, "one", images=images, annotations=annotations, **suffixes)
    if layout.startswith("pascal"):
        lists = tmp_path / "ImageSets/SegmentationContext"
        lists.mkdir(parents=True)
        (lists / "val.txt").write_text("one\n")
    dataset = SegmentationFolders.from_layout(tmp_path, layout, "val")
    assert dataset.names == ["one"]
    assert dataset.reduce_zero_label is reduced
    with pytest.raises(FileNotFoundError):
        SegmentationFolders.from_layout(tmp_path, layout, "train")


def test_unknown_layouts_and_parts_raise(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="layout: expected one of ade20k"):
        SegmentationFolders.from_layout(tmp_path, "ade")
    with pytest.raises(ValueError, match="part: expected 'train' or 'val', found 'test'"):
        SegmentationFolders.from_layout(tmp_path, "ade20k", "test")


def test_unmatched_files_are_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_pair(tmp_path, name)
    (tmp_path / "images/b.png").unlink()
    Image.new("RGB", (6, 4)).save(tmp_path / "images/z.png")
    with pytest.raises(ValueError, match="1 photos in .* have no label map: z; 1 label maps in .* have no photo: b"):
        folders(tmp_path)


def test_suffixes_are_suggested_when_nothing_matches(tmp_path: Path) -> None:
    write_pair(tmp_path, "a", label_suffix="_mask.png")
    with pytest.raises(ValueError, match="set image_suffix or annotation_suffix"):
        folders(tmp_path)
    assert folders(tmp_path, annotation_suffix="_mask").names == ["a"]


def test_empty_and_missing_folders_raise(tmp_path: Path) -> None:
    write_pair(tmp_path, "a")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="images.*empty, holds no files"):
        SegmentationFolders(tmp_path / "empty", tmp_path / "annotations")
    with pytest.raises(FileNotFoundError, match="annotations.*nowhere"):
        SegmentationFolders(tmp_path / "images", tmp_path / "nowhere")


def test_two_files_of_one_name_raise(tmp_path: Path) -> None:
    write_pair(tmp_path, "a")
    Image.new("RGB", (6, 4)).save(tmp_path / "images/a.jpg")
    with pytest.raises(ValueError, match="a.jpg and .*a.png have the same name"):
        folders(tmp_path)


def test_sizes_that_differ_name_both_files(tmp_path: Path) -> None:
    write_pair(tmp_path, "a")
    Image.new("L", (5, 4)).save(tmp_path / "annotations/a.png")
    with pytest.raises(
        ValueError, match="annotations/a.png: the label map is 5x4 but its photo .*images/a.png is 6x4"
    ):
        folders(tmp_path)[0]


@pytest.mark.parametrize("folder", ["images", "annotations"])
@pytest.mark.parametrize("content", [b"", b"not a picture", b"half"])
def test_corrupt_files_are_named(tmp_path: Path, folder: str, content: bytes) -> None:
    write_pair(tmp_path, "a", np.random.default_rng(0).integers(0, 255, (60, 60), np.uint8))
    path = tmp_path / folder / "a.png"
    path.write_bytes(path.read_bytes()[:-200] if content == b"half" else content)
    with pytest.raises(ValueError, match=f"{folder}/a.png: the .* cannot be read"):
        folders(tmp_path)[0]


def test_photos_are_turned_as_exif_says(tmp_path: Path) -> None:
    write_pair(tmp_path, "a", np.zeros((6, 4), np.uint8), image_suffix=".jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (6, 4)).save(tmp_path / "images/a.jpg", exif=exif)
    assert folders(tmp_path)[0]["image"].shape == (6, 4, 3)


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "P"])
def test_photos_of_other_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    write_pair(tmp_path, "a")
    (tmp_path / "images/a.png").unlink()
    Image.new(mode, (6, 4)).save(tmp_path / "images/a.tif")
    assert folders(tmp_path)[0]["image"].shape == (4, 6, 3)


def test_ids_out_of_range_raise_only_when_num_labels_is_given(tmp_path: Path) -> None:
    write_pair(tmp_path, "a", np.array([[0, 1, 2, 255], [3, 3, 7, 0]], np.uint8))
    assert folders(tmp_path)[0]["segmentation_map"].max() == 255
    with pytest.raises(ValueError, match=r"a.png: ids out of range in 3 pixels: 3, 7; expected 0 to 2 for 3 classes"):
        folders(tmp_path, num_labels=3)[0]
    with pytest.raises(ValueError, match=r"1 pixels: 7; expected 1 to 3"):
        folders(tmp_path, num_labels=3, reduce_zero_label=True)[0]
    assert folders(tmp_path, num_labels=8)[0]["name"] == "a"
