"""Overlays: which pixels are colored, what the legend holds, and how files are written."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from segvit_hf.visualization import overlay, save_overlay
from segvit_hf.visualization.legend import LegendEntry, _Style, add_legend
from segvit_hf.visualization.palettes import generated_palette

NAMES = {0: "road", 1: "car", 2: "sky"}
COLORS = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
GRAY = np.full((40, 60, 3), 100, np.uint8)
# 1 at the top, 2 on the left below it, 0 elsewhere: 1200, 600 and 600 pixels, then 60 ignored ones.
LABELS = np.zeros((40, 60), np.int64)
LABELS[:20] = 1
LABELS[20:, :30] = 2
LABELS[39] = 255


def pixels(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture)[:40, :60]


def test_classes_are_mixed_with_their_colors() -> None:
    result = pixels(overlay(GRAY, LABELS, NAMES, COLORS, alpha=0.5))
    assert result[0, 0].tolist() == [50, 178, 50]
    assert result[30, 0].tolist() == [50, 50, 178]
    assert result[30, 50].tolist() == [178, 50, 50]


def test_ignored_pixels_keep_their_color() -> None:
    assert (pixels(overlay(GRAY, LABELS, NAMES, COLORS, alpha=1.0))[39] == 100).all()
    outside = np.where(LABELS == 255, -1, LABELS)
    assert (pixels(overlay(GRAY, outside, NAMES, COLORS, alpha=1.0, ignore_index=-1))[39] == 100).all()


@pytest.mark.parametrize(("alpha", "expected"), [(0.0, [100, 100, 100]), (1.0, [0, 255, 0])])
def test_alpha_goes_from_photo_to_colors(alpha: float, expected: list) -> None:
    assert pixels(overlay(GRAY, LABELS, NAMES, COLORS, alpha=alpha))[0, 0].tolist() == expected


def test_other_classes_are_darkened_when_some_are_highlighted() -> None:
    result = pixels(overlay(GRAY, LABELS, NAMES, COLORS, highlight=[1]))
    assert result[0, 0].tolist() == [50, 178, 50]
    assert result[30, 0].tolist() == result[39, 0].tolist() == [35, 35, 35]


def test_arguments_are_not_changed_and_every_kind_of_input_is_taken() -> None:
    photo, labels = GRAY.copy(), LABELS.copy()
    expected = np.asarray(overlay(photo, labels, NAMES, COLORS))
    assert (photo == GRAY).all()
    assert (labels == LABELS).all()
    others = [
        overlay(
            Image.fromarray(GRAY), torch.from_numpy(LABELS), {str(id_): name for id_, name in NAMES.items()}, COLORS
        ),
        overlay(GRAY[..., 0], LABELS.astype(np.uint8), NAMES, np.array(COLORS)),
    ]
    for other in others:
        np.testing.assert_array_equal(np.asarray(other), expected)


def test_without_a_legend_the_size_stays() -> None:
    assert overlay(GRAY, LABELS, NAMES, COLORS, legend=False).size == (60, 40)
    everything_ignored = np.full((40, 60), 255)
    assert overlay(GRAY, everything_ignored, NAMES, COLORS).size == (60, 40)


@pytest.mark.parametrize(("position", "grows"), [("right", 0), ("below", 1)])
def test_the_legend_is_outside_the_picture(position: str, grows: int) -> None:
    big, labels = np.full((400, 600, 3), 100, np.uint8), np.kron(LABELS, np.ones((10, 10), int))
    picture = overlay(big, labels, NAMES, COLORS, legend_position=position)
    assert picture.size[grows] > (600, 400)[grows]
    assert picture.size[1 - grows] == (600, 400)[1 - grows]
    bare = overlay(big, labels, NAMES, COLORS, legend=False)
    np.testing.assert_array_equal(np.asarray(picture)[:400, :600], np.asarray(bare))


def legend_order(picture: Image.Image, colors: list) -> list:
    """The given colors in the order of their first row in the legend to the right of the 60-pixel wide photo."""
    legend = np.asarray(picture)[:, 60:]
    rows = {color: np.flatnonzero((legend == color).all(-1).any(-1)) for color in colors}
    return sorted((color for color in colors if len(rows[color])), key=lambda color: rows[color][0])


def test_the_legend_lists_the_classes_present_largest_first() -> None:
    picture = overlay(GRAY, np.where(LABELS == 2, 0, LABELS), NAMES, COLORS, legend_position="right")
    assert legend_order(picture, COLORS) == [COLORS[1], COLORS[0]]
    picture = overlay(GRAY, np.where(LABELS == 1, 2, LABELS), NAMES, COLORS, legend_position="right")
    assert legend_order(picture, COLORS) == [COLORS[2], COLORS[0]]


def test_the_legend_of_highlighted_classes_lists_only_these() -> None:
    picture = overlay(GRAY, LABELS, NAMES, COLORS, highlight=[2], legend_position="right")
    assert legend_order(picture, COLORS) == [COLORS[2]]


@pytest.mark.parametrize("position", ["right", "below"])
@pytest.mark.parametrize("size", [(16, 16), (500, 300), (4000, 2600)])
@pytest.mark.parametrize("num_entries", [1, 40, 171])
def test_every_row_of_a_legend_is_drawn_whole(position: str, size: tuple, num_entries: int) -> None:
    colors = generated_palette(num_entries)
    entries = [LegendEntry(f"class number {index}", color, 0.01) for index, color in enumerate(colors)]
    picture = np.asarray(add_legend(Image.new("RGB", size), entries, position))
    background = picture.copy()
    background[: size[1], : size[0]] = 255
    # Nothing touches the outer edge: no row or column is cut off.
    assert (background[-4:] == 255).all()
    assert (background[:, -4:] == 255).all()
    drawn = np.bincount((background.astype(np.int64) @ (1 << 16, 1 << 8, 1)).reshape(-1), minlength=1 << 24)
    assert all(drawn[(red << 16) + (green << 8) + blue] >= 50 for red, green, blue in colors)


@pytest.mark.parametrize(("side", "smallest", "largest"), [(16, 13, 13), (512, 13, 20), (4000, 60, 72)])
def test_the_font_grows_with_the_picture(side: int, smallest: int, largest: int) -> None:
    entry = LegendEntry("road", (255, 0, 0), 1.0)
    picture = np.asarray(add_legend(Image.new("RGB", (side, side)), [entry], "right"))
    swatch_rows = np.flatnonzero((picture == (255, 0, 0)).all(-1).any(-1))
    assert smallest - 4 <= len(swatch_rows) <= largest + 1


def test_long_names_lose_their_middle() -> None:
    style = _Style(13)
    short = style.shortened("a very long class name that does not fit into any legend at all 17")
    assert short.startswith("a very long")
    assert "..." in short
    assert short.endswith("all 17")
    assert style.text_width(short) <= 18 * 13
    assert style.shortened("traffic light") == "traffic light"


def test_generated_colors_are_distinct_and_always_the_same() -> None:
    colors = np.array(generated_palette(60), dtype=int)
    assert generated_palette(60)[:10] == generated_palette(10)
    distances = np.abs(colors[:, None] - colors[None]).sum(-1) + 1000 * np.eye(60, dtype=int)
    assert distances.min() > 15
    first = colors[:8]
    assert (np.abs(first[:, None] - first[None]).sum(-1) + 1000 * np.eye(8, dtype=int)).min() > 100


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label_map": LABELS[:, :50]}, r"shape \(40, 50\).*shape \(40, 60\)"),
        ({"label_map": LABELS.astype(float)}, "integer array"),
        ({"label_map": LABELS[None]}, "integer array"),
        ({"label_map": np.full((40, 60), 7)}, r"does not name: \[7\]"),
        ({"label_map": np.full((40, 60), -1), "id2label": {-1: "x"}}, "negative ids"),
        ({"image": GRAY.astype(float)}, "uint8"),
        ({"palette": COLORS[:2]}, "palette has 2 colors but the label map holds the id 2"),
        ({"palette": [(0, 0, 300)] * 3}, "palette must hold"),
        ({"alpha": 1.5}, "alpha"),
        ({"legend_position": "left"}, "legend_position"),
    ],
)
def test_bad_arguments_raise(changes: dict, message: str) -> None:
    arguments = {"image": GRAY, "label_map": LABELS, "id2label": NAMES, "palette": COLORS}
    with pytest.raises(ValueError, match=message):
        overlay(**{**arguments, **changes})


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_saved_files_are_complete_and_alone(tmp_path: Path, ending: str) -> None:
    path = save_overlay(overlay(GRAY, LABELS, NAMES, COLORS), tmp_path / "new" / f"a.{ending}")
    with Image.open(path) as picture:
        assert picture.size == overlay(GRAY, LABELS, NAMES, COLORS).size
    assert [file.name for file in path.parent.iterdir()] == [f"a.{ending}"]
    reference = tmp_path / "reference"
    reference.touch()
    assert path.stat().st_mode == reference.stat().st_mode


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def fail(self, file, format):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        save_overlay(Image.new("RGB", (2, 2)), path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["a", "a.txt"])
def test_an_unknown_ending_raises(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a picture format"):
        save_overlay(Image.new("RGB", (2, 2)), tmp_path / name)
