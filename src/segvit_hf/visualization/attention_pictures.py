"""Pictures of attention maps: one per head, and an overview beside the photo."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

# Nine of matplotlib's viridis colors, evenly spaced; the others are interpolated.
_VIRIDIS = np.array(
    [
        (68, 1, 84),
        (71, 45, 123),
        (59, 82, 139),
        (44, 114, 142),
        (33, 145, 140),
        (40, 174, 128),
        (94, 201, 98),
        (173, 220, 48),
        (253, 231, 37),
    ],
    dtype=np.float64,
)
_MARK = (255, 0, 0)
_TILE = 240
_GAP = 8
_FONT_SIZE = 14


def map_picture(attention_map: np.ndarray, patch_size: int) -> Image.Image:
    """A map in viridis colors, its least value dark blue and its greatest yellow, each patch a square.

    Args:
        attention_map: (rows, columns).
        patch_size: Side of the squares in pixels.
    """
    values = attention_map.astype(np.float64)
    spread = values.max() - values.min()
    shares = (values - values.min()) / spread if spread > 0 else np.zeros_like(values)
    positions = shares * (len(_VIRIDIS) - 1)
    colors = np.stack([np.interp(positions, np.arange(len(_VIRIDIS)), channel) for channel in _VIRIDIS.T], axis=-1)
    squares = np.rint(colors).astype(np.uint8).repeat(patch_size, 0).repeat(patch_size, 1)
    return Image.fromarray(squares)


def marked_photo(photo: Image.Image, patch: tuple[int, int] | None, patch_size: int) -> Image.Image:
    """The photo with the patch (column, row) filled in red, as the original shows it; unchanged without a patch."""
    picture = photo.convert("RGB")
    if patch is not None:
        left, top = patch[0] * patch_size, patch[1] * patch_size
        ImageDraw.Draw(picture).rectangle((left, top, left + patch_size - 1, top + patch_size - 1), fill=_MARK)
    return picture


def overview(pictures: Sequence[tuple[str, Image.Image]]) -> Image.Image:
    """Small copies of pictures of one size side by side, each with its title above."""
    width, height = pictures[0][1].size
    factor = _TILE / max(width, height)
    tile = max(round(width * factor), 1), max(round(height * factor), 1)
    columns = min(math.ceil(math.sqrt(len(pictures) * 1.5)), len(pictures))
    rows = math.ceil(len(pictures) / columns)
    font = ImageFont.load_default(size=_FONT_SIZE)
    title_height = _FONT_SIZE + 6
    cell = max(tile[0], _TILE // 2), tile[1] + title_height
    canvas = Image.new("RGB", (columns * (cell[0] + _GAP) + _GAP, rows * (cell[1] + _GAP) + _GAP), (255, 255, 255))
    draw = ImageDraw.Draw(canvas)
    for index, (title, picture) in enumerate(pictures):
        left = _GAP + (index % columns) * (cell[0] + _GAP)
        top = _GAP + (index // columns) * (cell[1] + _GAP)
        draw.text((left, top), _shortened(title, font, cell[0]), (30, 30, 30), font)
        canvas.paste(picture.resize(tile, Image.Resampling.BILINEAR), (left, top + title_height))
    return canvas


def _shortened(title: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    if font.getlength(title) <= width:
        return title
    while len(title) > 1 and font.getlength(f"{title}...") > width:
        title = title[:-1]
    return f"{title}..."


__all__ = ["map_picture", "marked_photo", "overview"]
