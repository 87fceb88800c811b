"""SegViT (Zhang et al., NeurIPS 2022): attention-to-mask decoding on a plain vision transformer."""
