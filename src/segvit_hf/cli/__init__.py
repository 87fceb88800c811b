"""The command `segvit-hf`."""
