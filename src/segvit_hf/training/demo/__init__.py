"""The demonstration: a small SegViT learns to segment generated scenes, without network or GPU."""
