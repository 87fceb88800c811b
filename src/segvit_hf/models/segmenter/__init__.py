"""Segmenter (Strudel et al., ICCV 2021): a linear or mask-transformer decoder on a plain vision transformer."""
