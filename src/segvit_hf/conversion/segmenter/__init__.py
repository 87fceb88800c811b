"""Segmenter (Strudel et al., ICCV 2021): the naming of its authors and that of mmsegmentation."""
