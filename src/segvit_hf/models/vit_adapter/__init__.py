"""ViT-Adapter (Chen et al., ICLR 2023): plain ViTs with multi-scale feature maps, decoded by UperNet or Mask2Former."""
