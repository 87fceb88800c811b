"""DINOv2 (Oquab et al., 2023): its linear and multi-scale heads, and its ViT-Adapter with Mask2Former."""
