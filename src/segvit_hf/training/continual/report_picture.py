"""The plot of scores over steps."""

from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

_WIDTH, _HEIGHT = 640, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 32, 40
_COLORS = ((31, 119, 180), (214, 39, 40), (44, 44, 44))
_GRID, _TEXT = (220, 220, 220), (60, 60, 60)
_FONT_SIZE, _DOT = 13, 4


def draw_lines(lines: Mapping[str, Sequence[float | None]]) -> Image.Image:
    """Shares from 0 to 1 over steps, in percent, one colored line each; gaps where there is no value."""
    picture = Image.new("RGB", (_WIDTH, _HEIGHT), "white")
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(_FONT_SIZE)
    num_steps = max((len(values) for values in lines.values()), default=0)
    known = [value for values in lines.values() for value in values if value is not None]
    highest = next(top for top in (0.1, 0.25, 0.5, 0.75, 1.0) if top >= max(known, default=0.0) or top == 1.0)
    for tick in range(6):
        y = _vertical(tick / 5)
        draw.line([(_LEFT, y), (_WIDTH - _RIGHT, y)], fill=_GRID)
        draw.text((_LEFT - 8, y), f"{100 * highest * tick / 5:.0f}", fill=_TEXT, font=font, anchor="rm")
    for step in range(num_steps):
        position = (_horizontal(step, num_steps), _HEIGHT - _BOTTOM + 16)
        draw.text(position, f"step {step}", fill=_TEXT, font=font, anchor="mm")
    for index, (name, values) in enumerate(lines.items()):
        color = _COLORS[index % len(_COLORS)]
        points = [
            (_horizontal(step, num_steps), _vertical(value / highest))
            for step, value in enumerate(values)
            if value is not None
        ]
        draw.line(points, fill=color, width=2)
        for x, y in points:
            _dot(draw, x, y, color)
        _dot(draw, _LEFT + 8 + index * 190, _TOP / 2, color)
        draw.text((_LEFT + 20 + index * 190, _TOP / 2), name, fill=color, font=font, anchor="lm")
    return picture


def _dot(draw: ImageDraw.ImageDraw, x: float, y: float, color: tuple[int, int, int]) -> None:
    draw.ellipse((x - _DOT, y - _DOT, x + _DOT, y + _DOT), fill=color)


def _horizontal(step: int, num_steps: int) -> float:
    return _LEFT + 24 + (_WIDTH - _LEFT - _RIGHT - 48) * step / max(num_steps - 1, 1)


def _vertical(share: float) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * share


__all__ = ["draw_lines"]
