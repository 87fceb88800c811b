"""Generated scenes with exact label maps: a meadow under a sky with houses, trees, a pond and balloons that overlap.

Colors and textures vary from scene to scene and are shared between classes on purpose (blue skies and ponds, green
meadows and trees, red roofs and balloons), so that a model has to look at texture, shape and place.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

CLASS_NAMES = ("sky", "meadow", "house", "tree", "pond", "balloon")
SKY, MEADOW, HOUSE, TREE, POND, BALLOON = range(6)
PALETTE = ((135, 190, 235), (120, 180, 80), (170, 85, 60), (30, 95, 45), (40, 90, 190), (245, 190, 40))


@dataclass(frozen=True)
class Scene:
    """A picture and what is to be seen on it.

    Attributes:
        image: uint8 array (height, width, 3), RGB.
        segmentation_map: uint8 array (height, width), ids of `CLASS_NAMES`.
    """

    image: np.ndarray
    segmentation_map: np.ndarray


def make_scene(random: np.random.Generator, height: int = 128, width: int = 160) -> Scene:
    """One scene; the same generator state gives the same scene."""
    return _Painter(random, height, width).scene()


def write_scenes(folder: Path, seed: int, count: int) -> tuple[Path, Path]:
    """Writes `count` scenes of slightly different sizes as PNG files.

    Returns:
        The folders of the images and of the annotations.
    """
    images, annotations = folder / "images", folder / "annotations"
    images.mkdir(parents=True, exist_ok=True)
    annotations.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        random = np.random.default_rng([seed, index])
        scene = make_scene(random, height=int(random.integers(120, 145)), width=int(random.integers(140, 193)))
        Image.fromarray(scene.image).save(images / f"scene_{index:04d}.png")
        Image.fromarray(scene.segmentation_map).save(annotations / f"scene_{index:04d}.png")
    return images, annotations


class _Painter:
    """Paints from back to front into an image and its label map."""

    def __init__(self, random: np.random.Generator, height: int, width: int) -> None:
        self.random = random
        self.height, self.width = height, width
        self.y, self.x = np.mgrid[0:height, 0:width].astype(np.float32)
        self.image = np.zeros((height, width, 3), np.float32)
        self.segmentation_map = np.zeros((height, width), np.uint8)

    def scene(self) -> Scene:
        random = self.random
        self._sky()
        horizon = self._meadow()
        if random.random() < 0.7:
            self._pond(horizon)
        # Farther (higher) things first, so that nearer ones hide them.
        things = [self._house] * int(random.integers(0, 3)) + [self._tree] * int(random.integers(1, 4))
        feet = sorted(horizon + 10 + (self.height - horizon - 10) * random.uniform(0, 0.75) for _ in things)
        random.shuffle(things)
        for thing, foot in zip(things, feet, strict=True):
            thing(foot)
        for _ in range(int(random.integers(0, 3))):
            self._balloon(horizon)
        light = random.uniform(0.85, 1.1) + 0.1 * (self.x / self.width - 0.5)
        noisy = self.image * light[..., None] + random.normal(0, 3, self.image.shape)
        return Scene(np.clip(noisy, 0, 255).astype(np.uint8), self.segmentation_map)

    def _paint(self, mask: np.ndarray, colors: np.ndarray, label: int) -> None:
        self.image[mask] = np.broadcast_to(colors, self.image.shape)[mask]
        self.segmentation_map[mask] = label

    def _color(self, low: tuple[int, int, int], high: tuple[int, int, int]) -> np.ndarray:
        return self.random.uniform(low, high).astype(np.float32)

    def _noise(self, cell: int) -> np.ndarray:
        """Smooth noise (height, width) in [-1, 1] with details of about `cell` pixels."""
        rows, columns = self.height // cell + 2, self.width // cell + 2
        coarse = Image.fromarray(self.random.uniform(-1, 1, (rows, columns)).astype(np.float32))
        fine = coarse.resize((columns * cell, rows * cell), Image.Resampling.BICUBIC)
        return np.clip(np.asarray(fine)[: self.height, : self.width], -1, 1)

    def _sky(self) -> None:
        top, bottom = self._color((70, 120, 190), (130, 180, 250)), self._color((180, 200, 220), (240, 225, 245))
        gradient = (self.y / self.height)[..., None]
        clouds = np.clip(self._noise(24) + 0.5 * self._noise(10) - self.random.uniform(0.1, 0.6), 0, 1)[..., None]
        sky = top * (1 - gradient) + bottom * gradient
        self._paint(np.ones_like(self.y, bool), sky * (1 - clouds) + 248 * clouds, SKY)

    def _meadow(self) -> float:
        random = self.random
        horizon = self.height * random.uniform(0.35, 0.6)
        hills = sum(
            random.uniform(1, 5) * np.sin(self.x * random.uniform(0.02, 0.08) + random.uniform(0, 6)) for _ in range(2)
        )
        color = self._color((80, 130, 40), (160, 185, 90))
        grass = 18 * self._noise(2) + 14 * self._noise(16)
        stripes = 8 * np.sin(self.y * random.uniform(0.3, 0.9) + 0.2 * self.x)
        self._paint(self.y > horizon + hills, color + (grass + stripes)[..., None], MEADOW)
        return horizon

    def _pond(self, horizon: float) -> None:
        random = self.random
        center_y = horizon + (self.height - horizon) * random.uniform(0.45, 0.8)
        center_x = self.width * random.uniform(0.15, 0.85)
        radius_y = random.uniform(11, 19)
        radius_x = radius_y * random.uniform(1.6, 2.6)
        distance = ((self.y - center_y) / radius_y) ** 2 + ((self.x - center_x) / radius_x) ** 2
        inside = (distance + 0.25 * self._noise(14) < 1) & (self.segmentation_map == MEADOW)
        ripples = 16 * np.sin(self.y * 1.3 + 3 * self._noise(12))
        self._paint(inside, self._color((50, 90, 140), (110, 150, 210)) + ripples[..., None], POND)

    def _house(self, foot: float) -> None:
        random = self.random
        width, height = random.uniform(34, 60), random.uniform(24, 38)
        left = random.uniform(-0.2 * width, self.width - 0.8 * width)
        top, right = foot - height, left + width
        wall = (self.x >= left) & (self.x < right) & (self.y >= top) & (self.y < foot)
        row = np.floor(self.y / 4)
        mortar = (self.y % 4 < 1) | ((self.x + 4 * (row % 2)) % 8 < 1)
        bricks = self._color((140, 70, 50), (205, 150, 120)) * np.where(mortar, 0.75, 1.0)[..., None]
        self._paint(wall, bricks, HOUSE)
        roof_height = random.uniform(10, 20)
        overhang = 3
        slope = np.abs(self.x - (left + right) / 2) / (width / 2 + overhang)
        roof = (self.y < top) & (self.y >= top - roof_height * (1 - slope)) & (slope < 1)
        tiles = 1 - 0.18 * ((self.y % 3 < 1) | ((self.x + 2 * np.floor(self.y / 3)) % 5 < 1))
        self._paint(roof, self._color((120, 35, 30), (190, 80, 60)) * tiles[..., None], HOUSE)
        dark, lit = self._color((45, 55, 70), (95, 105, 120)), self._color((225, 205, 140), (250, 235, 185))
        glass = lit if random.random() < 0.3 else dark
        for column in np.arange(left + 6, right - 9, 13):
            window = (self.x >= column) & (self.x < column + 7) & (self.y >= top + 6) & (self.y < top + 14)
            self._paint(window & wall, glass + 0 * self.image, HOUSE)

    def _tree(self, foot: float) -> None:
        random = self.random
        height, center = random.uniform(40, 72), random.uniform(0.03, 0.97) * self.width
        trunk_width = random.uniform(4, 7)
        trunk = (np.abs(self.x - center) < trunk_width / 2) & (self.y < foot) & (self.y > foot - height * 0.6)
        bark = self._color((70, 45, 25), (110, 80, 55)) + (10 * self._noise(2))[..., None]
        self._paint(trunk, bark, TREE)
        radius = height * random.uniform(0.28, 0.38)
        middle = foot - height + radius
        if random.random() < 0.4:  # a fir
            down = (self.y - (foot - height)) / (height * 0.8)
            crown = (down > 0) & (down < 1) & (np.abs(self.x - center) < radius * down * (0.85 + 0.3 * (down * 3 % 1)))
        else:
            distance = np.hypot(self.y - middle, (self.x - center) * random.uniform(0.85, 1.15)) / radius
            crown = distance + 0.22 * self._noise(7) < 1
        leaves = 28 * self._noise(3) + 12 * self._noise(2)
        self._paint(crown, self._color((20, 70, 25), (70, 125, 60)) + leaves[..., None], TREE)

    def _balloon(self, horizon: float) -> None:
        random = self.random
        radius = random.uniform(14, 24)
        center_y, center_x = random.uniform(0.3 * radius, horizon), random.uniform(0.05, 0.95) * self.width
        across, down = (self.x - center_x) / radius, (self.y - center_y) / radius
        envelope = (across**2 + down**2 < 1) | (
            (down > 0) & (down < 1.35) & (np.abs(across) < 1.05 * (1.4 - down) * 0.75)
        )
        bulge = np.arcsin(np.clip(across / np.sqrt(np.clip(1 - down**2, 0.2, 1)), -1, 1))
        stripe = (np.floor(bulge * random.uniform(2.0, 3.5) + 0.5) % 2 == 0)[..., None]
        first, second = self._color((200, 40, 40), (255, 170, 90)), self._color((60, 60, 150), (255, 255, 210))
        shade = (1 - 0.3 * across)[..., None]
        self._paint(envelope, np.where(stripe, first, second) * shade, BALLOON)
        basket = (np.abs(across) < 0.22) & (down > 1.35) & (down < 1.7)
        self._paint(basket, self._color((110, 75, 35), (150, 110, 70)) + 0 * self.image, BALLOON)
