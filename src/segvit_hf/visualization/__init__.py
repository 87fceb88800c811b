"""Pictures of segmentation results."""

from segvit_hf.visualization.overlay import overlay, save_overlay

__all__ = ["overlay", "save_overlay"]
