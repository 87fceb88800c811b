"""SETR (Zheng et al., CVPR 2021): naive, progressive and multi-level decoding of a plain vision transformer."""
