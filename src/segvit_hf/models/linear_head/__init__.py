"""A linear head on the features of a plain ViT, as DINOv2 (Oquab et al., 2023) and DINOv3 (Siméoni et al., 2025)."""
