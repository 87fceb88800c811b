"""The demonstration's picture: rows of photo, prediction with legend, truth with legend."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from segvit_hf.training.demo.scenes import CLASS_NAMES, PALETTE
from segvit_hf.visualization.overlay import overlay, save_overlay

TITLES = ("photo", "prediction", "truth")
_ENLARGE, _MARGIN, _TITLE_HEIGHT = 3, 12, 30


@dataclass(frozen=True)
class PictureRow:
    """What one row shows.

    Attributes:
        image: uint8 array (height, width, 3), RGB.
        prediction: Class ids, integer array (height, width).
        truth: The same.
    """

    image: np.ndarray
    prediction: np.ndarray
    truth: np.ndarray


def draw_rows(rows: Sequence[PictureRow], path: Path) -> Path:
    """Draws one row per scene, enlarged, into a PNG file; returns its path."""
    cells = [[_photo(row), _labeled(row, row.prediction), _labeled(row, row.truth)] for row in rows]
    widths = [max(line[column].width for line in cells) for column in range(len(TITLES))]
    heights = [max(cell.height for cell in line) for line in cells]
    size = (sum(widths) + _MARGIN * (len(widths) + 1), _TITLE_HEIGHT + sum(heights) + _MARGIN * (len(heights) + 1))
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    lefts = [_MARGIN * (column + 1) + sum(widths[:column]) for column in range(len(widths))]
    for left, title in zip(lefts, TITLES, strict=True):
        draw.text((left, _MARGIN), title, fill="black", font=ImageFont.load_default(18))
    top = _TITLE_HEIGHT + _MARGIN
    for line, height in zip(cells, heights, strict=True):
        for left, cell in zip(lefts, line, strict=True):
            sheet.paste(cell, (left, top))
        top += height + _MARGIN
    return save_overlay(sheet, path)


def _photo(row: PictureRow) -> Image.Image:
    height, width = row.truth.shape
    return Image.fromarray(row.image).resize((width * _ENLARGE, height * _ENLARGE), Image.Resampling.LANCZOS)


def _labeled(row: PictureRow, label_map: np.ndarray) -> Image.Image:
    enlarged = label_map.repeat(_ENLARGE, axis=0).repeat(_ENLARGE, axis=1)
    names = dict(enumerate(CLASS_NAMES))
    return overlay(_photo(row), enlarged, names, PALETTE, alpha=0.65, legend_position="right")
