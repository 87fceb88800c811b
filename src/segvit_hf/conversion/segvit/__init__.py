"""SegViT v1 (Zhang et al., NeurIPS 2022)."""
