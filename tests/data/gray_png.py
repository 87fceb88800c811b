"""Gray PNGs of few bits, which PIL reads but does not write."""

import struct
import zlib

import numpy as np


def gray_png(ids: np.ndarray, bits: int) -> bytes:
    """The file of a gray PNG (height, width) with `bits` (1 to 8) per value."""
    height, width = ids.shape
    packed = np.packbits(
        np.unpackbits(ids.astype(np.uint8)[..., None], axis=-1)[..., -bits:].reshape(height, -1), axis=1
    )
    rows = b"".join(b"\0" + row.tobytes() for row in packed)
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    chunks = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
