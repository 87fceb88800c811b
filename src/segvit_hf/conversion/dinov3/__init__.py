"""DINOv3 (Siméoni et al., 2025): its linear heads, and its adapter with Mask2Former."""
