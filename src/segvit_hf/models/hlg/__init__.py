"""HLG (Zhang et al., IJCV 2024): local-global transformers for segmentation, classification and detection."""
