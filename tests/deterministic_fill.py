"""Weights and inputs that both sides of a comparison can make from names alone.

The reference cases store what an original implementation computed, not its weights. Every floating-point entry of the
original's state dict is drawn from a NumPy PCG64 stream seeded with the CRC-32 of its original name and the case's
seed, so that the numbers are the same on every machine, then scaled to keep activations of order one.
"""

import math
import zlib

import numpy as np

SCALE_LEAVES = frozenset({"weight", "gamma", "gamma_1", "gamma_2"})
LABEL_BLOCK_SIZE = 8
IGNORED_FRACTION = 0.1


def generator(name: str, seed: int) -> np.random.Generator:
    """Return the random stream of one named tensor of a case."""
    return np.random.Generator(np.random.PCG64([zlib.crc32(name.encode()), seed]))


def standard_normal(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Return float32 standard normal values of `shape` from the stream of `name`."""
    return generator(name, seed).standard_normal(tuple(shape), dtype=np.float32)


def filled_weight(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Return the float32 value of the floating-point parameter or buffer `name` (its original name).

    Running variances are 1 + 0.2 |x|; vectors are 0.1 x, around 1 for scales of norms and layer scales, around 0
    otherwise; tensors with a leading dimension of one (position embeddings, class tokens) are 0.2 x; everything else
    is x divided by the square root of its fan-in, x being standard normal.
    """
    values = standard_normal(name, shape, seed)
    leaf = name.rpartition(".")[2]
    if leaf == "running_var":
        filled = 1.0 + 0.2 * np.abs(values)
    elif len(shape) <= 1:
        filled = (1.0 if leaf in SCALE_LEAVES else 0.0) + 0.1 * values
    elif shape[0] == 1:
        filled = 0.2 * values
    else:
        # In float64: what float32 / float64 is differs between NumPy 1 and 2.
        filled = values.astype(np.float64) / math.sqrt(math.prod(shape[1:]))
    return filled.astype(np.float32)


def pixel_values(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Return normalized images, float32 (batch, channels, height, width)."""
    return standard_normal("pixel_values", shape, seed)


def label_map(shape: tuple[int, int, int], num_labels: int, ignore_index: int, seed: int) -> np.ndarray:
    """Return int64 labels (batch, height, width) in blocks of 8x8 pixels, about a tenth of the blocks ignored."""
    batch, height, width = shape
    grid = (batch, math.ceil(height / LABEL_BLOCK_SIZE), math.ceil(width / LABEL_BLOCK_SIZE))
    classes = generator("labels", seed).integers(0, num_labels, grid)
    ignored = generator("ignored", seed).random(grid) < IGNORED_FRACTION
    classes[ignored] = ignore_index
    block = np.ones((1, LABEL_BLOCK_SIZE, LABEL_BLOCK_SIZE), dtype=np.int64)
    return np.kron(classes, block)[:, :height, :width]
