"""A legend beside a picture: color, name and share of each class, at a size that suits the picture."""

import math
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

_SMALLEST_FONT, _LARGEST_FONT = 13, 72
# Rows a legend may always have, however small the picture is.
_ROWS_AT_LEAST = 12
_LONGEST_NAME_IN_FONT_SIZES = 18
_BACKGROUND, _TEXT, _FAINT = (255, 255, 255), (30, 30, 30), (115, 115, 115)


@dataclass(frozen=True)
class LegendEntry:
    """A row: class name, RGB color and share of the pixels (0 to 1)."""

    name: str
    color: tuple[int, int, int]
    share: float


class _Style:
    """Sizes in pixels, all of them from the size of the font."""

    def __init__(self, font_size: int) -> None:
        self.font_size = font_size
        self.font = ImageFont.load_default(size=font_size)
        self.row_height = math.ceil(font_size * 1.5)
        self.swatch = font_size
        self.gap = math.ceil(font_size * 0.5)
        self.margin = font_size
        self.column_gap = 2 * font_size

    def text_width(self, text: str) -> int:
        return math.ceil(self.font.getlength(text))

    def shortened(self, name: str) -> str:
        longest = self.font_size * _LONGEST_NAME_IN_FONT_SIZES
        if self.text_width(name) <= longest:
            return name
        # The middle goes: long names tend to differ at one of their ends.
        kept = len(name)
        while kept > 2 and self.text_width(_without_middle(name, kept)) > longest:
            kept -= 1
        return _without_middle(name, kept)


def add_legend(picture: Image.Image, entries: list[LegendEntry], position: str = "auto") -> Image.Image:
    """The picture with a legend of `entries`, in their order, on white, to its right or below it.

    The font grows with the picture, from 13 to 72 pixels, and shrinks as far as 13 where many classes need room; the
    canvas grows as far as the legend then needs.
    """
    width, height = picture.size
    below = position == "below" or (position == "auto" and width >= 1.6 * height)
    font_size = round(min(max(min(width, height) / 28, _SMALLEST_FONT), _LARGEST_FONT))
    style = _Style(font_size)
    # The legend should not be larger than the picture, as long as that can be had by a smaller font.
    while font_size > _SMALLEST_FONT:
        legend_width, legend_height, _, _ = _layout(style, entries, width, height, below)
        if (legend_height <= 0.6 * height) if below else (legend_width <= 0.6 * width):
            break
        font_size = max(_SMALLEST_FONT, int(font_size * 0.85))
        style = _Style(font_size)
    legend_width, legend_height, rows, column_width = _layout(style, entries, width, height, below)
    if below:
        canvas = Image.new("RGB", (max(width, legend_width), height + legend_height), _BACKGROUND)
        left, top = 0, height
    else:
        canvas = Image.new("RGB", (width + legend_width, max(height, legend_height)), _BACKGROUND)
        left, top = width, 0
    canvas.paste(picture, (0, 0))
    draw = ImageDraw.Draw(canvas)
    for index, entry in enumerate(entries):
        row_left = left + style.margin + (index // rows) * (column_width + style.column_gap)
        row_middle = top + style.margin + (index % rows) * style.row_height + style.row_height // 2
        _draw_row(draw, style, entry, row_left, row_middle, column_width)
    return canvas


def _layout(
    style: _Style, entries: list[LegendEntry], width: int, height: int, below: bool
) -> tuple[int, int, int, int]:
    """Width and height of the legend, rows in a column, width of a column."""
    widest_name = max(style.text_width(style.shortened(entry.name)) for entry in entries)
    column_width = style.swatch + style.gap + widest_name + 2 * style.gap + style.text_width("100.0 %")
    if below:
        columns = max(1, (width - 2 * style.margin + style.column_gap) // (column_width + style.column_gap))
        rows = math.ceil(len(entries) / columns)
    else:
        rows = max(_ROWS_AT_LEAST, (height - 2 * style.margin) // style.row_height)
    columns = math.ceil(len(entries) / rows)
    # Columns of equal length look better than a full one and a nearly empty one.
    rows = math.ceil(len(entries) / columns)
    return (
        columns * (column_width + style.column_gap) - style.column_gap + 2 * style.margin,
        rows * style.row_height + 2 * style.margin,
        rows,
        column_width,
    )


def _draw_row(
    draw: ImageDraw.ImageDraw, style: _Style, entry: LegendEntry, left: int, middle: int, column_width: int
) -> None:
    half = style.swatch // 2
    outline = max(1, style.font_size // 16)
    draw.rectangle(
        (left, middle - half, left + style.swatch, middle + half), fill=entry.color, outline=_FAINT, width=outline
    )
    draw.text((left + style.swatch + style.gap, middle), style.shortened(entry.name), _TEXT, style.font, anchor="lm")
    draw.text((left + column_width, middle), _percent(entry.share), _FAINT, style.font, anchor="rm")


def _without_middle(name: str, kept: int) -> str:
    """The first and last letters of a name, `kept` in all, around "..."."""
    last = kept // 2
    return f"{name[: kept - last].rstrip()}...{name[len(name) - last :].lstrip()}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.0005 else "< 0.1 %"
