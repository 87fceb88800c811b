"""Pictures of segmentation results."""

from .overlay import overlay, save_overlay

__all__ = ["overlay", "save_overlay"]
