"""ViT-Adapter (Chen et al., ICLR 2023): plain ViTs with four feature maps, decoded by UperNet or Mask2Former."""
