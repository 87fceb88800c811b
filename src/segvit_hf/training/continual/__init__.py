"""Continual segmentation: training in steps that each bring new classes, without the older ones' labels."""
