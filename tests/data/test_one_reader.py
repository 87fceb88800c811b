"""The same file of a label map gives the same ids by every road into the package."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segvit_hf import SegVitImageProcessor, SegVitImageProcessorPil
from segvit_hf.data import LabelSet, SegmentationFolders, read_label_map
from segvit_hf.metrics.mean_iou.confusion_matrix import paired_maps
from segvit_hf.visualization import overlay
from tests.data.gray_png import gray_png

RGB = np.zeros((5, 7, 3), np.uint8)


def random_ids(largest: int) -> np.ndarray:
    return np.random.default_rng(largest).integers(0, largest + 1, RGB.shape[:2])


def saved(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, format="PNG")
    return file.getvalue()


def palette_png(ids: np.ndarray, bits: int) -> bytes:
    """A palette file whose colors have nothing to do with its ids; PIL packs it into as few bits as the ids need."""
    image = Image.fromarray(ids.astype(np.uint8), "P")
    image.putpalette(np.random.default_rng(1).integers(0, 256, 3 * 2**bits, dtype=np.uint8).tolist())
    return saved(image)


FILES = {
    "1 bit": (gray_png(random_ids(1), 1), random_ids(1)),
    "2 bits": (gray_png(random_ids(3), 2), random_ids(3)),
    "4 bits": (gray_png(random_ids(15), 4), random_ids(15)),
    "8 bits": (saved(Image.fromarray(random_ids(255).astype(np.uint8))), random_ids(255)),
    "8 bits, multiples": (saved(Image.fromarray((random_ids(1) * 85).astype(np.uint8))), random_ids(1) * 85),
    "16 bits": (saved(Image.fromarray(random_ids(40000).astype(np.uint16))), random_ids(40000)),
    "palette of 2 bits": (palette_png(random_ids(3), 2), random_ids(3)),
    "palette of 8 bits": (palette_png(random_ids(255), 8), random_ids(255)),
}


def loaded(image: Image.Image) -> Image.Image:
    image.load()
    return image


KINDS = {
    "path": Path,
    "name": str,
    "opened file": Image.open,
    "loaded file": lambda path: loaded(Image.open(path)),
    "opened bytes": lambda path: Image.open(io.BytesIO(path.read_bytes())),
    "loaded bytes": lambda path: loaded(Image.open(io.BytesIO(path.read_bytes()))),
}


@pytest.fixture(params=FILES)
def label_map(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, np.ndarray]:
    """The file, alone in a folder, and its ids."""
    content, ids = FILES[request.param]
    path = tmp_path / "annotations" / "a.png"
    path.parent.mkdir()
    path.write_bytes(content)
    return path, ids


@pytest.mark.parametrize("kind", KINDS)
def test_the_reader(label_map: tuple[Path, np.ndarray], kind: str) -> None:
    path, ids = label_map
    np.testing.assert_array_equal(read_label_map(KINDS[kind](path)), ids)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backend", [SegVitImageProcessor, SegVitImageProcessorPil])
def test_the_image_processor(label_map: tuple[Path, np.ndarray], kind: str, backend: Callable) -> None:
    path, ids = label_map
    labels = backend(do_resize=False)(RGB, KINDS[kind](path), return_tensors="np").labels
    np.testing.assert_array_equal(labels[0], ids)


def test_the_data_set_of_folders(label_map: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    path, ids = label_map
    (tmp_path / "images").mkdir()
    Image.fromarray(RGB).save(tmp_path / "images" / "a.png")
    dataset = SegmentationFolders(tmp_path / "images", path.parent)
    np.testing.assert_array_equal(dataset[0]["segmentation_map"], ids)
    np.testing.assert_array_equal(dataset.read_annotation(0), ids)


@pytest.mark.parametrize("embedded", [False, True])
def test_columns_of_the_datasets_library(label_map: tuple[Path, np.ndarray], tmp_path: Path, embedded: bool) -> None:
    import datasets

    from segvit_hf.training.data.datasets import HuggingFaceDataset
    from segvit_hf.training.recipe import DataSource

    path, ids = label_map
    Image.fromarray(RGB).save(tmp_path / "photo.png")
    files = [tmp_path / "photo.png", path]
    image, annotation = ({"path": None, "bytes": f.read_bytes()} if embedded else str(f) for f in files)
    columns = datasets.Features({"image": datasets.Image(), "annotation": datasets.Image()})
    rows = datasets.Dataset.from_dict({"image": [image], "annotation": [annotation]}, features=columns)
    rows.save_to_disk(str(tmp_path / "rows"))
    label_set = LabelSet("many", tuple(str(index) for index in range(40001)))
    source = DataSource(dataset=str(tmp_path / "rows"))
    dataset = HuggingFaceDataset(source, tmp_path / "rows", label_set, ignore_index=255)
    np.testing.assert_array_equal(dataset[0]["segmentation_map"], ids)


def test_references_of_the_metric(label_map: tuple[Path, np.ndarray]) -> None:
    path, ids = label_map
    ((_, reference),) = paired_maps(ids, Image.open(path))
    np.testing.assert_array_equal(reference, ids)


def test_an_overlay_of_a_picture(label_map: tuple[Path, np.ndarray]) -> None:
    path, ids = label_map
    names = {index: str(index) for index in range(int(ids.max()) + 1)}
    expected = overlay(RGB, ids, names, legend=False, ignore_index=-1)
    assert overlay(RGB, Image.open(path), names, legend=False, ignore_index=-1) == expected


def test_a_loaded_image_that_was_changed_holds_ids() -> None:
    image = loaded(Image.open(io.BytesIO(gray_png(np.array([[0, 3]]), 2))))
    image.putpixel((1, 0), 7)
    assert read_label_map(image).tolist() == [[0, 7]]


def test_a_file_that_has_been_replaced_does_not_mislead(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(gray_png(np.array([[0, 3, 3]]), 2))
    image = loaded(Image.open(path))
    path.unlink()
    assert read_label_map(image).tolist() == [[0, 255, 255]]  # nothing tells any more
    path.write_bytes(gray_png(np.array([[0, 3]]), 2))
    assert read_label_map(image).tolist() == [[0, 255, 255]]


def test_the_stream_of_a_loaded_image_stays_where_it_is() -> None:
    stream = io.BytesIO(gray_png(np.array([[0, 3]]), 2))
    image = loaded(Image.open(stream))
    position = stream.tell()
    assert read_label_map(image).tolist() == [[0, 3]]
    assert stream.tell() == position


def test_label_maps_lie_as_they_are_stored(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    ids = random_ids(3).astype(np.uint8)
    Image.fromarray(ids).save(tmp_path / "a.png", exif=exif)
    for kind in KINDS.values():
        np.testing.assert_array_equal(read_label_map(kind(tmp_path / "a.png")), ids)
        labels = SegVitImageProcessor(do_resize=False)(RGB, kind(tmp_path / "a.png"), return_tensors="np").labels
        np.testing.assert_array_equal(labels[0], ids)


@pytest.mark.parametrize("processor", [SegVitImageProcessor(), SegVitImageProcessorPil()])
@pytest.mark.parametrize("kind", [np.asarray, lambda image: image, "file"])
def test_colored_masks_get_the_same_advice(kind: Callable | str, processor: Callable, tmp_path: Path) -> None:
    mask = RGB.copy()
    mask[0, 0], mask[1, 1] = (255, 0, 0), (0, 255, 0)
    image = Image.fromarray(mask)
    image.save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="3 different colors: replace each color by its class id"):
        processor(RGB, tmp_path / "a.png" if kind == "file" else kind(image))
