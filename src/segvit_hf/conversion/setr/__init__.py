"""SETR (Zheng et al., CVPR 2021): the naming of its authors and that of mmsegmentation."""
