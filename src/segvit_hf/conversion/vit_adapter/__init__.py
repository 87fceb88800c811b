"""ViT-Adapter (Chen et al., ICLR 2023)."""
