"""SegViT (Zhang et al., NeurIPS 2022) and SegViTv2 (Zhang et al., IJCV 2024)."""
