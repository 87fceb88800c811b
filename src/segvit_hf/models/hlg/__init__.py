"""HLG (Zhang et al., IJCV 2024): hierarchical local-global transformers for segmentation, classification, detection."""
