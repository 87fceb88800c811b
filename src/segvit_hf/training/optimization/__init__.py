"""Optimizer groups, learning rates and batch norm over all devices."""
