"""Published scores of continual segmentation on ADE20K, to stand beside one's own.

From Table 1 of https://arxiv.org/abs/2411.02715 (CIT; overlapped setting, single scale): mean IoU in percent of the
first step's classes, of all later ones, and of all, after the last step. Oracle: all classes trained at once. All rows
are models with ViT-B; how SegViTv2's was pretrained is not known.
"""

from typing import Any

Scores = tuple[float, float, float]

PUBLISHED: dict[str, dict[str, Scores]] = {
    "100-50": {
        "SegViTv2, oracle": (56.13, 48.74, 53.67),
        "SegViTv2": (53.64, 40.00, 49.09),
        "CIT with SegViTv2": (56.40, 47.26, 53.35),
        "MiB": (46.40, 34.95, 42.58),
    },
    "50-50": {
        "SegViTv2, oracle": (62.95, 49.03, 53.67),
        "SegViTv2": (59.81, 42.45, 48.24),
        "CIT with SegViTv2": (62.35, 49.17, 53.57),
        "MiB": (52.21, 35.56, 41.11),
    },
    "100-10": {
        "SegViTv2, oracle": (56.13, 48.74, 53.67),
        "SegViTv2": (53.77, 35.54, 47.70),
        "CIT with SegViTv2": (55.53, 43.32, 51.46),
        "MiB": (42.95, 30.80, 38.90),
    },
    "100-5": {
        "SegViTv2, oracle": (56.13, 48.74, 53.67),
        "SegViTv2": (53.37, 31.26, 46.00),
        # 48.99 from its own two columns: one of the three is a misprint.
        "CIT with SegViTv2": (54.60, 37.78, 47.66),
        "MiB": (40.21, 26.59, 35.67),
    },
}
_NUM_CLASSES = 150


def published_rows(steps: Any, num_classes: int) -> dict[str, Scores]:
    """The published scores of steps that a plan names, after the last of them; none for any other steps."""
    return PUBLISHED.get(steps, {}) if isinstance(steps, str) and num_classes == _NUM_CLASSES else {}


__all__ = ["PUBLISHED", "published_rows"]
