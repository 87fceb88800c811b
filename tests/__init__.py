"""Tests of segvit_hf, conversion and training."""
